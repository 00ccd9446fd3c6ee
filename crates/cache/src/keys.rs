//! Names of keys in Redis.

/// The three Redis keys of one cache key: value, lease, marks. The braces put all into one slot of a cluster.
pub(crate) struct RedisKeys {
    pub(crate) names: [String; 3],
    /// The kind of key, as the label `ns` of metrics.
    pub(crate) space: &'static str,
}

impl RedisKeys {
    pub(crate) fn of(name: &str, spaces: &[&'static str]) -> Self {
        let names = [name.to_owned(), format!("cl:{{{name}}}"), format!("cm:{{{name}}}")];
        Self { names, space: key_space(name, spaces) }
    }
}

/// Returns the kind of a key, as the label `ns` of metrics: its space without the colon.
pub(crate) fn key_space(name: &str, spaces: &[&'static str]) -> &'static str {
    let space = spaces.iter().find(|space| name.contains(**space));
    space.map_or("other", |space| space.trim_end_matches(':'))
}
