//! A cache that the log keeps true by forgetting.

use std::collections::HashMap;
use std::future::Future;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};

/// A bounded cache of values read from the database. An entry of the log that touches a key makes the cache
/// forget it; a value whose key was touched while it was being read is handed out once and not kept.
///
/// Only what exists is kept: absence is asked of the database every time.
#[derive(Debug)]
pub struct Cache<K, V> {
    values: quick_cache::sync::Cache<K, Arc<V>>,
    loading: Mutex<HashMap<K, Loading>>,
}

#[derive(Debug, Default)]
struct Loading {
    readers: usize,
    touched: bool,
}

impl<K: Hash + Eq + Clone, V> Cache<K, V> {
    /// A cache of at most `capacity` values.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self { values: quick_cache::sync::Cache::new(capacity), loading: Mutex::default() }
    }

    /// The value of `key`, from memory or by `load`.
    pub async fn get<F, E>(&self, key: &K, load: impl FnOnce() -> F) -> Result<Option<Arc<V>>, E>
    where
        F: Future<Output = Result<Option<V>, E>>,
    {
        if let Some(value) = self.values.get(key) {
            return Ok(Some(value));
        }
        let reader = Reader::begin(self, key);
        let loaded = load().await?;
        Ok(loaded.map(|value| reader.keep(Arc::new(value))))
    }

    /// The value of `key` where it is in memory.
    #[must_use]
    pub fn peek(&self, key: &K) -> Option<Arc<V>> {
        self.values.get(key)
    }

    /// Begins to read `keys`, which are not in memory, at once; see [`Reading::keep`].
    #[must_use]
    pub fn read_many(&self, keys: &[K]) -> Reading<'_, K, V> {
        Reading { readers: keys.iter().map(|key| (key.clone(), Reader::begin(self, key))).collect() }
    }

    /// Puts a value that an entry of the log brought; to be called only by the one who hears the log.
    pub fn put(&self, key: K, value: Arc<V>) {
        self.invalidate(&key);
        self.values.insert(key, value);
    }

    /// Forgets `key`.
    pub fn invalidate(&self, key: &K) {
        let mut loading = self.loading.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(loading) = loading.get_mut(key) {
            loading.touched = true;
        }
        self.values.remove(key);
    }

    /// Forgets everything.
    pub fn clear(&self) {
        let mut loading = self.loading.lock().unwrap_or_else(PoisonError::into_inner);
        for loading in loading.values_mut() {
            loading.touched = true;
        }
        self.values.clear();
    }
}

/// Several values being read.
pub struct Reading<'a, K: Hash + Eq + Clone, V> {
    readers: HashMap<K, Reader<'a, K, V>>,
}

impl<K: Hash + Eq + Clone, V> Reading<'_, K, V> {
    /// Keeps a value that was read, unless the log touched its key meanwhile.
    pub fn keep(&self, key: &K, value: Arc<V>) -> Arc<V> {
        match self.readers.get(key) {
            Some(reader) => reader.keep(value),
            None => value,
        }
    }
}

/// Someone who reads a value; leaves the list of readers also when its request is given up.
struct Reader<'a, K: Hash + Eq + Clone, V> {
    cache: &'a Cache<K, V>,
    key: K,
}

impl<'a, K: Hash + Eq + Clone, V> Reader<'a, K, V> {
    fn begin(cache: &'a Cache<K, V>, key: &K) -> Self {
        let mut loading = cache.loading.lock().unwrap_or_else(PoisonError::into_inner);
        loading.entry(key.clone()).or_default().readers += 1;
        Self { cache, key: key.clone() }
    }

    fn keep(&self, value: Arc<V>) -> Arc<V> {
        let loading = self.cache.loading.lock().unwrap_or_else(PoisonError::into_inner);
        if loading.get(&self.key).is_some_and(|loading| !loading.touched) {
            self.cache.values.insert(self.key.clone(), Arc::clone(&value));
        }
        drop(loading);
        value
    }
}

impl<K: Hash + Eq + Clone, V> Drop for Reader<'_, K, V> {
    fn drop(&mut self) {
        let mut loading = self.cache.loading.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = loading.get_mut(&self.key) {
            entry.readers -= 1;
            if entry.readers == 0 {
                loading.remove(&self.key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_value_is_loaded_once_and_again_after_it_was_touched() {
        let cache = Cache::new(10);
        let load = |value: i32| async move { Ok::<_, ()>(Some(value)) };
        assert_eq!(cache.get(&"k", || load(1)).await, Ok(Some(Arc::new(1))));
        assert_eq!(cache.get(&"k", || load(2)).await, Ok(Some(Arc::new(1))));
        cache.invalidate(&"k");
        assert_eq!(cache.get(&"k", || load(3)).await, Ok(Some(Arc::new(3))));
    }

    #[tokio::test]
    async fn a_value_touched_while_it_is_read_is_not_kept() {
        let cache = Cache::new(10);
        let first = cache
            .get(&"k", || async {
                cache.invalidate(&"k");
                Ok::<_, ()>(Some(1))
            })
            .await;
        assert_eq!(first, Ok(Some(Arc::new(1))));
        assert_eq!(cache.peek(&"k"), None);
    }

    #[tokio::test]
    async fn absence_is_not_kept() {
        let cache = Cache::<_, i32>::new(10);
        assert_eq!(cache.get(&"k", || async { Ok::<_, ()>(None) }).await, Ok(None));
        assert_eq!(cache.get(&"k", || async { Ok::<_, ()>(Some(1)) }).await, Ok(Some(Arc::new(1))));
    }

    #[tokio::test]
    async fn values_read_together_are_kept_one_by_one() {
        let cache = Cache::new(10);
        let reading = cache.read_many(&["a", "b"]);
        cache.invalidate(&"b");
        assert_eq!((reading.keep(&"a", Arc::new(1)), reading.keep(&"b", Arc::new(2))), (1.into(), 2.into()));
        drop(reading);
        assert_eq!((cache.peek(&"a"), cache.peek(&"b")), (Some(Arc::new(1)), None));
    }
}
