use sea_orm::entity::prelude::*;

#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "mail_outbox")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub class: String,
    pub template: String,
    pub recipient: String,
    pub params: Json,
    pub sealed: Vec<u8>,
    pub priority: i32,
    pub run_at: i64,
    pub expires_at: Option<i64>,
    pub trace: Option<String>,
    pub request_key: Option<Vec<u8>>,
    pub created_at: i64,
    pub claimed_until: Option<i64>,
    pub enqueued_at: Option<i64>,
    pub outcome: Option<String>,
    pub outcome_at: Option<i64>,
    pub claims: i32,
}

impl ActiveModelBehavior for ActiveModel {}
