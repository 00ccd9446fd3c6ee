use sea_orm::entity::prelude::*;

#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "accommodations")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub exam_id: Uuid,
    #[sea_orm(primary_key, auto_increment = false)]
    pub user_id: Uuid,
    pub percent: i32,
    pub minutes: i32,
}

impl ActiveModelBehavior for ActiveModel {}
