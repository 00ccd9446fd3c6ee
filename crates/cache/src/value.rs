//! How values become bytes: as JSON, or as their type says.

use serde::{Serialize, de::DeserializeOwned};

/// What a codec may fail with.
type CodecError = Box<dyn std::error::Error + Send + Sync>;

/// A value that can be cached. Every type that serde reads and writes is one, as JSON. A type of your own that serde does
/// not know implements this itself, with any codec:
///
/// ```
/// use examhall_cache::{CacheKey, CacheValue, Life};
///
/// /// A point in eight bytes.
/// struct Point(f32, f32);
///
/// impl CacheValue for Point {
///     fn to_bytes(&self) -> Result<Vec<u8>, Box<dyn std::error::Error + Send + Sync>> {
///         Ok([self.0.to_le_bytes(), self.1.to_le_bytes()].concat())
///     }
///
///     fn from_bytes(bytes: &[u8]) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
///         let (x, y) = bytes.split_first_chunk().ok_or("too short")?;
///         Ok(Self(f32::from_le_bytes(*x), f32::from_le_bytes(y.try_into()?)))
///     }
/// }
///
/// #[derive(Clone, PartialEq)]
/// struct PointKey(u64);
///
/// impl CacheKey for PointKey {
///     type Value = Point;
///     type Head = ();
///     const LIFE: Life = Life::hours(1);
///
///     fn redis_key(&self) -> String {
///         format!("point:{}", self.0)
///     }
/// }
/// ```
pub trait CacheValue: Send + Sized + 'static {
    /// Whether its bytes are stored a second time, compressed with gzip, if there are 1 KiB of them: right for text that is
    /// sent to clients. True for JSON.
    const GZIP: bool = false;

    /// Returns the bytes to store and to send.
    ///
    /// # Errors
    /// Returns an error if there are none; the load fails with it.
    fn to_bytes(&self) -> Result<Vec<u8>, CodecError>;

    /// Returns the value of these bytes.
    ///
    /// # Errors
    /// Returns an error if they are of no such value.
    fn from_bytes(bytes: &[u8]) -> Result<Self, CodecError>;
}

impl<T: Serialize + DeserializeOwned + Send + 'static> CacheValue for T {
    const GZIP: bool = true;

    fn to_bytes(&self) -> Result<Vec<u8>, CodecError> {
        Ok(serde_json::to_vec(self)?)
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self, CodecError> {
        Ok(serde_json::from_slice(bytes)?)
    }
}

/// The bytes of a cached value are not those of its type: another release has written them, without another
/// [`CacheKey::SHAPE`](crate::CacheKey::SHAPE).
#[derive(Debug, thiserror::Error)]
#[error("the cached bytes are of no such value: {0}")]
pub struct ValueError(#[source] CodecError);

impl ValueError {
    pub(crate) fn of<V: CacheValue>(bytes: &[u8]) -> Result<V, Self> {
        V::from_bytes(bytes).map_err(Self)
    }
}
