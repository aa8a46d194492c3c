//! One value for each key of a list of attributes, however long it is.

use std::hash::{BuildHasher as _, RandomState};

use hashbrown::HashTable;
use opentelemetry::{Key, KeyValue};

/// Up to how many a list is looked through, which costs less than an index then.
const LOOKED_THROUGH: usize = 64;

/// Where the keys of one list of attributes are, once it is long.
#[derive(Debug, Default)]
pub struct AttributeIndex(Option<Box<Index>>);

#[derive(Debug, Default)]
struct Index {
    /// Found by the keys in the list: none is held twice.
    places: HashTable<usize>,
    /// Of its own for each list: guests choose the keys.
    hasher: RandomState,
    /// How many of the list's attributes are in it.
    covered: usize,
}

impl AttributeIndex {
    /// Puts one value a key into `attributes`, which are always the same list and
    /// only grow; false where `limit` leaves no room.
    pub fn put(
        &mut self,
        attributes: &mut Vec<KeyValue>,
        attribute: KeyValue,
        limit: usize,
    ) -> bool {
        if let Some(at) = self.place(attributes, &attribute.key) {
            attributes[at].value = attribute.value;
            return true;
        }
        if attributes.len() >= limit {
            return false;
        }
        attributes.push(attribute);
        true
    }

    fn place(&mut self, attributes: &[KeyValue], key: &Key) -> Option<usize> {
        if attributes.len() <= LOOKED_THROUGH {
            return attributes.iter().position(|known| known.key == *key);
        }
        self.0.get_or_insert_default().place(attributes, key)
    }
}

impl Index {
    fn place(&mut self, attributes: &[KeyValue], key: &Key) -> Option<usize> {
        let Self {
            places,
            hasher,
            covered,
        } = self;
        let hash = |at: usize| hasher.hash_one(&attributes[at].key);
        for (at, known) in attributes.iter().enumerate().skip(*covered) {
            let is_same = |other: &usize| attributes[*other].key == known.key;
            // Of two the first counts, as where the list is looked through.
            places
                .entry(hash(at), is_same, |other| hash(*other))
                .or_insert(at);
        }
        *covered = attributes.len();
        let is_it = |at: &usize| attributes[*at].key == *key;
        places.find(hasher.hash_one(key), is_it).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_value_of_a_key_counts_and_the_limit_holds() {
        let (mut keys, mut attributes) = (AttributeIndex::default(), Vec::new());
        let mut put = |key, value| {
            let attribute = KeyValue::new(key, value);
            keys.put(&mut attributes, attribute, 2)
        };
        assert!(put("a", 1));
        assert!(put("b", 1));
        assert!(!put("c", 1));
        assert!(put("a", 2));
        assert_eq!(attributes, [KeyValue::new("a", 2), KeyValue::new("b", 1)]);
    }

    #[test]
    fn a_long_list_keeps_the_order_and_the_last_values_of_its_keys() {
        const LIMIT: i64 = 200;
        let (mut keys, mut attributes) = (AttributeIndex::default(), Vec::new());
        for round in 0..3 {
            for number in 0..LIMIT + 10 {
                let attribute = KeyValue::new(format!("key.{number}"), round * 1_000 + number);
                let limit = usize::try_from(LIMIT).unwrap();
                let is_kept = keys.put(&mut attributes, attribute, limit);
                assert_eq!(is_kept, number < LIMIT);
            }
        }
        let expected = (0..LIMIT).map(|it| KeyValue::new(format!("key.{it}"), 2_000 + it));
        assert_eq!(attributes, expected.collect::<Vec<_>>());
    }
}
