//! What students see of an exam, and when: its questions, and their results.

use serde::{Deserialize, Serialize};

macro_rules! policies {
    ($(
        $(#[$doc:meta])*
        $name:ident: $($(#[$meaning:meta])* $variant:ident = $word:literal),+;
    )*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
        #[serde(rename_all = "camelCase")]
        pub enum $name {
            $($(#[$meaning])* $variant,)+
        }

        impl $name {
            /// The word used in tables and JSON.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)+
                }
            }

            /// The policy of this word; `None` if it is none.
            pub fn from_word(word: &str) -> Option<Self> {
                [$(Self::$variant),+].into_iter().find(|policy| policy.as_str() == word)
            }
        }
    )*};
}

policies! {
    /// When students may read the questions of an exam.
    PaperPolicy:
        /// Once they have started an attempt: the clock runs.
        AfterStart = "afterStart",
        /// As long as the exam is open, whether or not they sit it.
        WhileOpen = "whileOpen";
    /// Which students may sit an exam.
    Admission:
        /// All of them.
        Open = "open",
        /// Those that know its code.
        Code = "code",
        /// Those on its roster.
        Roster = "roster";
    /// When students see their results.
    ResultPolicy:
        /// As soon as they have submitted.
        OnSubmit = "onSubmit",
        /// Once the exam is closed, or its results are published.
        OnClose = "onClose",
        /// Once the results are published.
        OnPublish = "onPublish";
}

impl ResultPolicy {
    /// The policy of an exam that names none. With a second attempt, results shown at once would let the key be found by
    /// trial.
    pub const fn usual(max_attempts: u32) -> Self {
        if max_attempts > 1 { Self::OnClose } else { Self::OnSubmit }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_has_one_word_in_tables_and_in_json() {
        for policy in [PaperPolicy::AfterStart, PaperPolicy::WhileOpen] {
            assert_eq!(PaperPolicy::from_word(policy.as_str()), Some(policy));
            assert_eq!(serde_json::to_value(policy).expect("JSON"), policy.as_str());
        }
        for policy in [ResultPolicy::OnSubmit, ResultPolicy::OnClose, ResultPolicy::OnPublish] {
            assert_eq!(ResultPolicy::from_word(policy.as_str()), Some(policy));
            assert_eq!(serde_json::to_value(policy).expect("JSON"), policy.as_str());
        }
        for policy in [Admission::Open, Admission::Code, Admission::Roster] {
            assert_eq!(Admission::from_word(policy.as_str()), Some(policy));
            assert_eq!(serde_json::to_value(policy).expect("JSON"), policy.as_str());
        }
        assert_eq!(PaperPolicy::from_word("never"), None);
    }

    #[test]
    fn results_of_several_attempts_wait_for_the_end() {
        assert_eq!([0, 1, 2, 100].map(ResultPolicy::usual), {
            use ResultPolicy::{OnClose, OnSubmit};
            [OnSubmit, OnSubmit, OnClose, OnClose]
        });
    }
}
