use sea_orm::entity::prelude::*;

#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "forced_changes")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub exam_id: Uuid,
    pub user_id: Uuid,
    pub what: String,
    pub version: i64,
    pub at: i64,
}

impl ActiveModelBehavior for ActiveModel {}
