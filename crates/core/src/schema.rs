//! JSON Schemas of types whose JSON serde does not derive.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use crate::{
    AttemptId, EmailAddress, ExamId, Locale, Patch, QuestionId, RegradeId, ResultId, SessionId, Timestamp, UserId,
};

macro_rules! strings {
    ($($type:ty: $schema:tt;)*) => {$(
        impl JsonSchema for $type {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> Cow<'static, str> {
                stringify!($type).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!($schema)
            }
        }
    )*};
}

strings! {
    UserId: {"type": "string", "format": "uuid"};
    ExamId: {"type": "string", "format": "uuid"};
    QuestionId: {"type": "string", "format": "uuid"};
    AttemptId: {"type": "string", "format": "uuid"};
    ResultId: {"type": "string", "format": "uuid"};
    SessionId: {"type": "string", "format": "uuid"};
    RegradeId: {"type": "string", "format": "uuid"};
    Timestamp: {"type": "string", "format": "date-time"};
    Locale: {"type": "string", "minLength": 2, "maxLength": Locale::MAX_LEN, "examples": ["de-AT"]};
    EmailAddress: {"type": "string", "format": "email", "maxLength": EmailAddress::MAX_LEN};
}

impl<T: JsonSchema> JsonSchema for Patch<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        Option::<T>::schema_name()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        Option::<T>::json_schema(generator)
    }
}
