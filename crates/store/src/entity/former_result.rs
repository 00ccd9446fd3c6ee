use sea_orm::entity::prelude::*;

#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "former_results")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub result_id: Uuid,
    pub regrade_id: Uuid,
    pub score: f64,
    pub max_score: f64,
    pub percent: f64,
    pub passed: bool,
    pub marks: Json,
    /// When it was graded, for the first time or again.
    pub graded_at: i64,
    pub replaced_at: i64,
}

impl ActiveModelBehavior for ActiveModel {}
