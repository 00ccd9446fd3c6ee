//! An entry of the cache, taken apart and put together again.

/// An entry of the cache as it is in Redis, for tests that write one by hand.
#[derive(Clone, Debug)]
pub struct CacheEntry {
    /// Words of the first line without the checksum, which is its last: format, shape, ..., lengths of head, body, gzip.
    pub words: Vec<String>,
    /// Head, body and gzip of it.
    pub content: Vec<u8>,
}

impl CacheEntry {
    /// Takes bytes apart. Fails the test if they are no entry.
    pub fn of(bytes: &[u8]) -> Self {
        let end = bytes.iter().position(|byte| *byte == b'\n').expect("a first line");
        let line = std::str::from_utf8(&bytes[..end]).expect("words");
        let (words, _) = line.rsplit_once(' ').expect("a checksum");
        Self { words: words.split(' ').map(str::to_owned).collect(), content: bytes[end + 1..].to_vec() }
    }

    /// Replaces a text in head and body by one of equal length.
    #[must_use]
    pub fn replace(mut self, old: &str, new: &str) -> Self {
        assert_eq!(old.len(), new.len(), "lengths are in the first line");
        let at = self.content.windows(old.len()).position(|text| text == old.as_bytes());
        let at = at.unwrap_or_else(|| panic!("no {old} in the entry"));
        self.content[at..at + new.len()].copy_from_slice(new.as_bytes());
        self
    }

    /// Replaces a word of the first line.
    #[must_use]
    pub fn with_word(mut self, at: usize, word: &str) -> Self {
        word.clone_into(&mut self.words[at]);
        self
    }

    /// Returns the bytes, with a right checksum.
    pub fn bytes(&self) -> Vec<u8> {
        let line = self.words.join(" ");
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(line.as_bytes());
        hasher.update(&self.content);
        [format!("{line} {:08x}\n", hasher.finalize()).as_bytes(), &self.content].concat()
    }
}
