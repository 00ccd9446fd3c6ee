use sea_orm::entity::prelude::*;

#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "operator_actions")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub at: i64,
    pub actor_id: Uuid,
    pub actor: String,
    pub action: String,
    pub filter: String,
    pub matched: i64,
    pub affected: i64,
    pub reason: Option<String>,
    pub exam_id: Option<Uuid>,
    pub user_id: Option<Uuid>,
    pub before_json: Option<Json>,
    pub after_json: Option<Json>,
}

impl ActiveModelBehavior for ActiveModel {}
