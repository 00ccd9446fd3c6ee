use sea_orm::entity::prelude::*;

#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "former_addresses")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub seat_id: Uuid,
    #[sea_orm(primary_key, auto_increment = false)]
    pub email_key: String,
}

impl ActiveModelBehavior for ActiveModel {}
