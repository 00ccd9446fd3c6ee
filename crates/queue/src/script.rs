//! The Lua scripts: one constant each, written for this crate from the facts of BullMQ's layout.

use std::sync::LazyLock;

/// A Lua script and the name under which Redis keeps it.
pub(crate) struct Script {
    source: &'static str,
    sha: LazyLock<String>,
}

macro_rules! script {
    ($name:ident, $($file:literal),+) => {
        pub(crate) static $name: Script = Script {
            source: concat!($(include_str!($file)),+),
            sha: LazyLock::new(|| fred::util::sha1_hash($name.source)),
        };
    };
}

script!(ADD, "lua/lib.lua", "lua/add.lua");
script!(COUNTS, "lua/lib.lua", "lua/counts.lua");
script!(EXCHANGE, "lua/lib.lua", "lua/exchange.lua");
script!(EXTEND, "lua/lib.lua", "lua/extend.lua");
script!(LEDGER, "lua/ledger.lua");
script!(LIMIT, "lua/limit.lua");
script!(RECOVER, "lua/lib.lua", "lua/recover.lua");
script!(STRIKE, "lua/strike.lua");

impl Script {
    pub(crate) fn source(&self) -> &'static str {
        self.source
    }

    pub(crate) fn sha(&self) -> &str {
        &self.sha
    }
}
