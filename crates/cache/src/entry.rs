//! What stands under a key: a line that says what it is, the head, the bytes to send.

use bytes::Bytes;
use examhall_core::CacheKey;

/// First word of every entry. Another one is another version's: it counts as absent.
const FORMAT: &str = "1";

/// What a loader has read from the database.
pub struct Fresh<K: CacheKey> {
    /// Version of the row, for the `ETag`.
    pub version: i64,
    /// What decides who may see it.
    pub head: K::Head,
    /// What is sent.
    pub value: K::Value,
}

/// What the cache gives: ready to be sent.
pub struct Cached<K: CacheKey> {
    /// Version of the row it was read from.
    pub version: i64,
    /// What decides who may see it.
    pub head: K::Head,
    /// The value as JSON.
    pub body: Bytes,
}

impl<K: CacheKey> Cached<K> {
    pub(crate) fn from_fresh(fresh: Fresh<K>) -> Result<Self, serde_json::Error> {
        Ok(Self { version: fresh.version, head: fresh.head, body: serde_json::to_vec(&fresh.value)?.into() })
    }

    pub(crate) fn encode(&self) -> Result<Bytes, serde_json::Error> {
        let head = serde_json::to_string(&self.head)?;
        let mut entry = format!("{FORMAT} {} {}\n{head}", self.version, head.len()).into_bytes();
        entry.extend_from_slice(&self.body);
        Ok(entry.into())
    }

    /// Reads an entry; `None` where it is damaged or another version's.
    pub(crate) fn decode(entry: &Bytes) -> Option<Self> {
        let end = entry.iter().position(|byte| *byte == b'\n')?;
        let mut words = std::str::from_utf8(&entry[..end]).ok()?.split(' ');
        if words.next() != Some(FORMAT) {
            return None;
        }
        let (version, head_len) = (words.next()?.parse().ok()?, words.next()?.parse::<usize>().ok()?);
        let body_at = (end + 1).checked_add(head_len).filter(|at| *at <= entry.len())?;
        let head = serde_json::from_slice(&entry[end + 1..body_at]).ok()?;
        Some(Self { version, head, body: entry.slice(body_at..) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use examhall_core::{Profile, ProfileKey, Role, UserId};

    fn profile() -> Cached<ProfileKey> {
        let id: UserId = "018f4e3a-0000-7000-8000-000000000001".parse().expect("a UUID");
        let value = Profile { id, name: "Ada\n".into(), role: Role::Student };
        Cached::from_fresh(Fresh { version: 7, head: (), value }).expect("JSON")
    }

    #[test]
    fn an_entry_comes_back_as_it_went_in() {
        let entry = profile().encode().expect("JSON");
        let back = Cached::<ProfileKey>::decode(&entry).expect("reads back");
        assert_eq!((back.version, &back.body), (7, &profile().body));
    }

    #[test]
    fn what_is_damaged_or_of_another_version_counts_as_absent() {
        let entry = profile().encode().expect("JSON");
        let other = [b"2".as_slice(), &entry[1..]].concat();
        for bad in [&b""[..], b"1", b"1 7", b"1 7 99999\nnull{}", b"1 x 4\nnull{}", b"\xff\n", &other, &entry[..7]] {
            assert!(Cached::<ProfileKey>::decode(&Bytes::copy_from_slice(bad)).is_none(), "{bad:?}");
        }
    }
}
