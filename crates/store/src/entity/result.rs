use sea_orm::entity::prelude::*;

#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "results")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    #[sea_orm(unique)]
    pub attempt_id: Uuid,
    pub exam_id: Uuid,
    pub user_id: Uuid,
    pub score: f64,
    pub max_score: f64,
    pub percent: f64,
    pub passed: bool,
    pub marks: Json,
    pub graded_at: i64,
    pub published_at: Option<i64>,
    /// Raised each time that it is graded again.
    pub version: i64,
    pub regraded_at: Option<i64>,
}

impl ActiveModelBehavior for ActiveModel {}
