use sea_orm::entity::prelude::*;

#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "questions")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub exam_id: Uuid,
    pub position: i32,
    pub text: String,
    pub points: f64,
    pub kind: Json,
    #[sea_orm(belongs_to, from = "exam_id", to = "id")]
    pub exam: HasOne<super::exam::Entity>,
}

impl ActiveModelBehavior for ActiveModel {}
