use sea_orm::entity::prelude::*;

#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "seats")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub exam_id: Uuid,
    pub email_key: String,
    pub email: String,
    pub name: String,
    pub user_id: Option<Uuid>,
    pub source: String,
    pub added_at: i64,
    pub invited_at: Option<i64>,
}

impl ActiveModelBehavior for ActiveModel {}
