use sea_orm::entity::prelude::*;

#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "attempts")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub exam_id: Uuid,
    pub user_id: Uuid,
    pub number: i32,
    pub started_at: i64,
    pub deadline: i64,
    pub answers: Json,
    pub seq: i64,
    pub saved_at: Option<i64>,
    pub submitted_at: Option<i64>,
    pub time_percent: i32,
    pub extra_ms: i64,
}

impl ActiveModelBehavior for ActiveModel {}
