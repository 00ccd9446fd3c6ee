//! A cache entry: a header line, the head that authorizes readers, the bytes to send in each content coding.

use std::{
    any::{Any, TypeId},
    fmt::Write as _,
    io::Write as _,
    marker::PhantomData,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;

use crate::{
    CacheKey, CacheValue, Fresh, Life, ReadError, ValueError,
    changes::{CommitId, Includes},
};

/// First word of every entry: number of its layout. The second word is the [`CacheKey::SHAPE`].
const FORMAT: u32 = 4;
/// Bytes that hold both words of any entry.
pub(crate) const RELEASE_BYTES: usize = 22;
/// Shorter bodies fit into one packet, and are not compressed; in bytes.
const MIN_COMPRESSED: usize = 1024;
/// Longer bodies are compressed less, in a fifth of the time; in bytes.
const LONG: usize = 512 * 1024;
/// Memory that an entry uses beyond its bytes, measured with small ones: the cache's own, the table's, and what the allocator
/// rounds up.
const OVERHEAD: usize = 768;

/// What decides how long an entry is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Span {
    /// The life of its key.
    OfKey,
    /// Its loader: for this long at least, and not refreshed before.
    AtLeast(Duration),
    /// Its loader: for this long at most, after it was loaded.
    AtMost(Duration),
}

/// Content coding of the bytes to send (RFC 9110, section 8.4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coding {
    /// None.
    Identity,
    /// gzip (RFC 1952). Measured on a question sheet of 8 KB, Brotli is an eighth smaller and takes six times as long.
    Gzip,
}

/// An entry with its type erased; its readers know the type.
pub(crate) struct Entry {
    /// Type of its key.
    key_type: TypeId,
    version: i64,
    /// Duration of its load: the slower, the earlier it is refreshed.
    pub(crate) took: Duration,
    /// How long it is kept. Of an entry from Redis only the kind is known: its time to live says the rest.
    pub(crate) span: Span,
    /// Age when it was read from Redis, or loaded, and that moment.
    aged: (Duration, Instant),
    /// Age at the end of its time to live in Redis.
    final_age: Duration,
    /// Last part of its time to live in Redis, in which it is stale: served only if no other value can be.
    pub(crate) grace: Duration,
    /// Which changes it includes.
    pub(crate) includes: Includes,
    /// `None` if there is no value (a negative entry).
    head: Option<Box<dyn Any + Send + Sync>>,
    head_json: Vec<u8>,
    bodies: [Bytes; 2],
}

/// Bytes from Redis, read as an entry.
pub(crate) enum Decoded {
    Entry(Box<Entry>),
    /// Damaged, or written by an older release: it is loaded again and replaced.
    Unreadable,
    /// Written by a newer release. It is left alone: otherwise two releases would replace each other's entries in turns.
    Newer,
}

/// A cached value, ready to be sent. Cheap to clone; clones share the bytes.
pub struct Cached<K: CacheKey> {
    entry: Arc<Entry>,
    key: PhantomData<fn() -> K>,
}

impl<K: CacheKey> Clone for Cached<K> {
    fn clone(&self) -> Self {
        Self { entry: Arc::clone(&self.entry), key: PhantomData }
    }
}

impl<K: CacheKey> Cached<K> {
    /// Returns `None` for a negative entry, and an error for one of another key type.
    pub(crate) fn of(entry: Arc<Entry>, name: &str) -> Result<Option<Self>, ReadError> {
        if entry.key_type != TypeId::of::<K>() {
            return Err(ReadError::OtherType(name.into()));
        }
        Ok((!entry.is_nothing()).then_some(Self { entry, key: PhantomData }))
    }

    /// Returns the version of the row it was read from.
    pub fn version(&self) -> i64 {
        self.entry.version
    }

    /// Returns the part that decides which users may see the value.
    pub fn head(&self) -> &K::Head {
        let head = self.entry.head.as_ref().and_then(|head| head.downcast_ref());
        head.unwrap_or_else(|| unreachable!("`of` has seen a head of this type"))
    }

    /// Returns the value as JSON.
    pub fn body(&self) -> &Bytes {
        &self.entry.bodies[Coding::Identity as usize]
    }

    /// Returns the value as compressed JSON; `None` if that is not shorter.
    pub fn compressed(&self, coding: Coding) -> Option<&Bytes> {
        Some(&self.entry.bodies[coding as usize]).filter(|body| !body.is_empty())
    }

    /// Returns the value itself, for code that works with it. To send it, send the bytes.
    ///
    /// # Errors
    /// Returns an error if the bytes are not those of the type, since another release has written them.
    pub fn value(&self) -> Result<K::Value, ValueError> {
        ValueError::of(self.body())
    }

    /// Returns the time since its load began: the header `Age` of RFC 9111. It is measured by the clock of this process and
    /// by times to live in Redis, so the clocks of machines need not agree. A value whose end somebody has removed in Redis
    /// is infinitely old.
    pub fn age(&self) -> Duration {
        self.entry.age()
    }
}

impl Entry {
    pub(crate) fn of_fresh<K: CacheKey>(fresh: Fresh<K>, took: Duration, life: Life) -> Result<Self, ReadError> {
        let head_json = serde_json::to_vec(&fresh.head).map_err(ReadError::loader)?;
        let body = fresh.value.to_bytes().map_err(ReadError::loader)?;
        let gzip = if K::Value::GZIP { compressed(&body) } else { Bytes::new() };
        let (span, grace) = match (fresh.life, fresh.pin) {
            (Some(at_most), _) => (Span::AtMost(at_most), Duration::ZERO),
            (None, Some(at_least)) => (Span::AtLeast(at_least), life.stale_on_error),
            (None, None) => (Span::OfKey, life.stale_on_error),
        };
        Ok(Self {
            key_type: TypeId::of::<K>(),
            version: fresh.version,
            took,
            span,
            aged: (took, Instant::now()),
            final_age: Duration::ZERO,
            grace,
            includes: Includes::default(),
            head: Some(Box::new(fresh.head)),
            head_json,
            bodies: [body.into(), gzip],
        })
    }

    /// Creates a negative entry.
    pub(crate) fn nothing<K: CacheKey>(took: Duration) -> Self {
        let bodies = [Bytes::new(), Bytes::new()];
        Self {
            key_type: TypeId::of::<K>(),
            version: 0,
            took,
            span: Span::AtLeast(Duration::ZERO),
            aged: (took, Instant::now()),
            final_age: Duration::ZERO,
            grace: Duration::ZERO,
            includes: Includes::default(),
            head: None,
            head_json: Vec::new(),
            bodies,
        }
    }

    pub(crate) fn is_nothing(&self) -> bool {
        self.head.is_none()
    }

    /// Returns its size in memory, in bytes.
    pub(crate) fn size(&self) -> usize {
        OVERHEAD + self.head_json.len() + self.bodies.iter().map(Bytes::len).sum::<usize>()
    }

    /// Returns the time since its load began.
    pub(crate) fn age(&self) -> Duration {
        self.aged.0.saturating_add(self.aged.1.elapsed())
    }

    /// Returns how long it may be served from now on, if its loader has limited that.
    pub(crate) fn rest(&self) -> Option<Duration> {
        let Span::AtMost(life) = self.span else { return None };
        Some(life.saturating_sub(self.aged.1.elapsed()))
    }

    /// Sets the age of an entry that was just read from Redis by its time to live there; without one it never ends.
    pub(crate) fn read_with(mut self, ttl: Option<Duration>) -> Self {
        self.aged = (ttl.map_or(Duration::MAX, |ttl| self.final_age.saturating_sub(ttl)), Instant::now());
        if let (Span::AtMost(_), Some(ttl)) = (self.span, ttl) {
            self.span = Span::AtMost(ttl);
        }
        self
    }

    /// Returns its bytes in Redis, where it is to live for `ttl` from now on.
    pub(crate) fn encode(&self, shape: u32, ttl: Duration) -> Bytes {
        let content = [&self.head_json[..], &self.bodies[0], &self.bodies[1]];
        let kind = u8::from(self.head.is_some());
        let span = match self.span {
            Span::OfKey => 0,
            Span::AtLeast(_) => 1,
            Span::AtMost(_) => 2,
        };
        let (took, grace, end) = (self.took.as_millis(), self.grace.as_millis(), (self.age() + ttl).as_millis());
        let commits: Vec<_> = self.includes.commits.iter().map(|commit| commit.to_hex()).collect();
        let mut line = format!("{FORMAT} {shape} {} {}", self.includes.seq, commits.join(","));
        // Writing to a String cannot fail. The generations are the fifth word: the scripts look at them.
        let _ = write!(line, " {} {kind} {span} {} {took} {grace} {end}", self.includes.generations, self.version);
        for part in content {
            let _ = write!(line, " {}", part.len());
        }
        let content = content.concat();
        let _ = writeln!(line, " {:08x}", checksum(&line, &content));
        [line.as_bytes(), &content].concat().into()
    }

    /// Reads an entry.
    pub(crate) fn decode<K: CacheKey>(bytes: &Bytes) -> Decoded {
        match release(bytes) {
            Some((format, _)) if format > FORMAT => return Decoded::Newer,
            Some((FORMAT, shape)) if is_whole(bytes) && shape > K::SHAPE => return Decoded::Newer,
            Some((FORMAT, shape)) if is_whole(bytes) && shape == K::SHAPE => {}
            _ => return Decoded::Unreadable,
        }
        Self::parse::<K>(bytes).map_or(Decoded::Unreadable, |entry| Decoded::Entry(Box::new(entry)))
    }

    /// Reads an entry of this format and shape.
    fn parse<K: CacheKey>(bytes: &Bytes) -> Option<Self> {
        let (line, end) = header(bytes)?;
        let mut words = line.split(' ').skip(2);
        let (seq, commits) = (words.next()?.parse().ok()?, words.next()?.split(','));
        let commits = commits.filter(|hex| !hex.is_empty()).map(CommitId::from_hex).collect::<Option<_>>()?;
        let includes = Includes { seq, commits, generations: words.next()?.to_owned() };
        let mut number = || words.next()?.parse::<i64>().ok();
        let (kind, span, version) = (number()?, number()?, number()?);
        let mut time = || Some(Duration::from_millis(number()?.unsigned_abs()));
        let (took, grace, final_age) = (time()?, time()?, time()?);
        let span = match span {
            0 => Span::OfKey,
            1 => Span::AtLeast(Duration::ZERO),
            2 => Span::AtMost(Duration::MAX),
            _ => return None,
        };
        let mut at = end + 1;
        let mut part = || {
            let from = at;
            at = from.checked_add(usize::try_from(number()?).ok()?).filter(|end| *end <= bytes.len())?;
            // Copied: a slice would keep the client's whole read buffer, with what else was received in it.
            Some(Bytes::copy_from_slice(&bytes[from..at]))
        };
        let (head_json, bodies) = (part()?, [part()?, part()?]);
        let head = serde_json::from_slice::<K::Head>(&head_json);
        let head: Option<Box<dyn Any + Send + Sync>> = if kind == 1 { Some(Box::new(head.ok()?)) } else { None };
        let (key_type, head_json, aged) = (TypeId::of::<K>(), head_json.to_vec(), (Duration::MAX, Instant::now()));
        Some(Self { key_type, version, took, span, aged, final_age, grace, includes, head, head_json, bodies })
    }
}

/// Returns whether an entry that begins with these bytes was written by an older release, or by something else.
pub(crate) fn is_outdated<K: CacheKey>(beginning: &[u8]) -> bool {
    release(beginning).is_none_or(|release| release < (FORMAT, K::SHAPE))
}

/// Returns format and shape of an entry. A format that is not this one need not have a shape.
fn release(bytes: &[u8]) -> Option<(u32, u32)> {
    let beginning = &bytes[..bytes.len().min(RELEASE_BYTES)];
    let mut words = beginning.split(u8::is_ascii_whitespace);
    let mut number = || std::str::from_utf8(words.next()?).ok()?.parse().ok();
    let format = number()?;
    Some((format, if format == FORMAT { number()? } else { 0 }))
}

/// Returns the generations under which an entry was loaded, if these bytes begin with what may be one.
pub(crate) fn generations(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes.splitn(6, |byte| *byte == b' ').nth(4)?).ok()
}

/// Returns the words before the checksum, and the end of their line.
fn header(bytes: &[u8]) -> Option<(&str, usize)> {
    let end = bytes.iter().position(|byte| *byte == b'\n')?;
    Some((std::str::from_utf8(&bytes[..end]).ok()?.rsplit_once(' ')?.0, end))
}

/// Returns whether the checksum is right.
fn is_whole(bytes: &[u8]) -> bool {
    let Some((line, end)) = header(bytes) else { return false };
    bytes[line.len() + 1..end] == *format!("{:08x}", checksum(line, &bytes[end + 1..])).as_bytes()
}

fn checksum(line: &str, content: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(line.as_bytes());
    hasher.update(content);
    hasher.finalize()
}

/// Returns the body compressed; no bytes if that does not pay.
fn compressed(body: &[u8]) -> Bytes {
    if body.len() < MIN_COMPRESSED {
        return Bytes::new();
    }
    let compressed = gzip(body).ok().filter(|bytes| bytes.len() < body.len());
    compressed.unwrap_or_default().into()
}

fn gzip(body: &[u8]) -> std::io::Result<Vec<u8>> {
    let level = flate2::Compression::new(if body.len() <= LONG { 6 } else { 1 });
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), level);
    encoder.write_all(body)?;
    encoder.finish()
}

#[cfg(test)]
pub(crate) mod tests;
