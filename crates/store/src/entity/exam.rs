use sea_orm::entity::prelude::*;

#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "exams")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub author_id: Uuid,
    pub title: String,
    pub description: String,
    pub duration_minutes: i32,
    pub max_attempts: i32,
    pub pass_mark: i32,
    pub opens_at: Option<i64>,
    pub closes_at: Option<i64>,
    pub shuffle: bool,
    pub paper: String,
    pub results: Option<String>,
    pub show_marks: bool,
    pub review: bool,
    pub access: String,
    /// PHC string.
    pub access_code: Option<String>,
    pub results_published_at: Option<i64>,
    pub status: String,
    pub version: i64,
    pub created_at: i64,
    pub updated_at: i64,
}

impl ActiveModelBehavior for ActiveModel {}
