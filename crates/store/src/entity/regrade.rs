use sea_orm::entity::prelude::*;

#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "regrades")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub exam_id: Uuid,
    pub user_id: Uuid,
    pub exam_version: i64,
    pub position: Option<Uuid>,
    pub total: i64,
    pub graded: i64,
    pub counts: Json,
    /// Also in `counts`; here for sums.
    pub changed: i64,
    pub created_at: i64,
    pub finished_at: Option<i64>,
}

impl ActiveModelBehavior for ActiveModel {}
