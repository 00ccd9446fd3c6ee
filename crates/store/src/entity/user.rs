use sea_orm::entity::prelude::*;

#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "users")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub email: String,
    #[sea_orm(unique)]
    pub email_key: String,
    pub name: String,
    pub password_hash: String,
    pub role: String,
    pub verified_at: Option<i64>,
    pub created_at: i64,
    pub updated_at: i64,
    pub version: i64,
    pub access_generation: i64,
    /// Before its address was proven.
    pub sign_ups: i32,
    pub locale: Option<String>,
    pub results_unsubscribed_at: Option<i64>,
    pub locked_at: Option<i64>,
    pub deleted_at: Option<i64>,
}

impl ActiveModelBehavior for ActiveModel {}
