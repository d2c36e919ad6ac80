//! The items that others store with us (BEP 44).

use super::item::Item;
use peerage_base::{Duration, Instant};
use peerage_wire::krpc::{Id, code};
use std::collections::BTreeMap;

#[derive(Clone, Debug)]
struct Kept {
    item: Item,
    at: Instant,
}

/// Items by their distance from us: when there are too many, the farthest goes, which others keep.
#[derive(Clone, Debug)]
pub(super) struct ItemStore {
    local: Id,
    max: usize,
    expiry: Duration,
    items: BTreeMap<Id, Kept>,
}

impl ItemStore {
    pub(super) fn new(local: Id, max: usize, expiry: Duration) -> Self {
        Self { local, max, expiry, items: BTreeMap::new() }
    }

    /// Our position changed: what is far goes first.
    pub(super) fn move_to(&mut self, local: Id) {
        let old = core::mem::replace(&mut self.local, local);
        let items = core::mem::take(&mut self.items);
        let moved =
            items.into_iter().map(|(distance, kept)| (old.distance(&distance).distance(&local), kept));
        self.items = moved.collect();
    }

    pub(super) fn len(&self) -> usize {
        self.items.len()
    }

    /// What is stored at `target`.
    pub(super) fn get(&self, now: Instant, target: &Id) -> Option<&Item> {
        let kept = self.items.get(&self.local.distance(target))?;
        (now.since(kept.at) < self.expiry).then_some(&kept.item)
    }

    /// Stores an item.
    ///
    /// # Errors
    /// The code of the refusal: another version than `cas` is there (301), or a newer one (302).
    pub(super) fn put(&mut self, now: Instant, item: Item, cas: Option<i64>) -> Result<(), i64> {
        let target = item.target();
        if item.signed().is_some()
            && let Some(current) = self.get(now, &target)
        {
            if cas.is_some_and(|cas| cas != current.seq()) {
                return Err(code::CAS_MISMATCH);
            }
            let same = item.seq() == current.seq() && item.value() == current.value();
            if item.seq() <= current.seq() && !same {
                return Err(code::SEQUENCE);
            }
        }
        self.items.insert(self.local.distance(&target), Kept { item, at: now });
        if self.items.len() > self.max {
            self.items.pop_last();
        }
        Ok(())
    }

    /// Forgets what nobody stored again in time.
    pub(super) fn expire(&mut self, now: Instant) {
        self.items.retain(|_, kept| now.since(kept.at) < self.expiry);
    }
}

#[cfg(test)]
mod tests {
    use super::super::item::tests::signed_item;
    use super::*;
    use peerage_base::Key;

    const HOUR: Duration = Duration::from_secs(3600);

    fn store() -> ItemStore {
        ItemStore::new(Key([0; 20]), 700, HOUR * 2)
    }

    fn at(seconds: u64) -> Instant {
        Instant::ZERO + Duration::from_secs(seconds)
    }

    #[test]
    fn versions_go_up_only() {
        let mut store = store();
        let item = |seq, value: &[u8]| signed_item(1, seq, b"", value);
        let target = item(1, b"1:a").target();
        assert_eq!(store.put(at(0), item(5, b"1:a"), None), Ok(()));
        assert_eq!(store.put(at(0), item(4, b"1:b"), None), Err(302), "rollback");
        assert_eq!(store.put(at(0), item(5, b"1:b"), None), Err(302), "another value of the same version");
        assert_eq!(store.put(at(10), item(5, b"1:a"), None), Ok(()), "the same again refreshes");
        assert_eq!(store.put(at(10), item(6, b"1:b"), Some(4)), Err(301), "lost the race");
        assert_eq!(store.put(at(10), item(6, b"1:b"), Some(5)), Ok(()));
        assert_eq!(store.get(at(10), &target).map(Item::value), Some(&b"1:b"[..]));
        // Nothing there: cas has no meaning.
        assert_eq!(store.put(at(10), signed_item(2, 1, b"", b"1:a"), Some(9)), Ok(()));
    }

    #[test]
    fn items_expire_unless_stored_again() {
        let mut store = store();
        let item = Item::new(b"1:a".to_vec(), None, Vec::new()).unwrap();
        store.put(at(0), item.clone(), None).unwrap();
        assert!(
            store.get(at(7199), &item.target()).is_some() && store.get(at(7200), &item.target()).is_none()
        );
        store.put(at(7000), item.clone(), None).unwrap();
        store.expire(at(8000));
        assert_eq!(store.len(), 1);
        store.expire(at(7000 + 7200));
        assert_eq!(store.len(), 0);
    }

    #[test]
    fn the_farthest_makes_room_and_a_new_position_keeps_all() {
        let mut store = store();
        let item = |n: u32| Item::new(format!("i{n}e").into_bytes(), None, Vec::new()).unwrap();
        (0..5_000).for_each(|n| store.put(at(0), item(n), None).unwrap());
        assert_eq!(store.len(), 700);
        let mut all: Vec<Id> = (0..5_000).map(|n| item(n).target()).collect();
        all.sort_unstable();
        assert!(all[..700].iter().all(|target| store.get(at(0), target).is_some()));
        store.move_to(Key([0xFF; 20]));
        assert!(all[..700].iter().all(|target| store.get(at(0), target).is_some()));
    }
}
