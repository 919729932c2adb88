//! What one watch has delivered.

use std::collections::{BTreeMap, BTreeSet};

use crate::snapshot::{Object, ObjectName};

use super::kept::Read;

/// The objects of one watch, by name. Where a watch begins again with a list, what the list does not
/// hold has gone meanwhile, without any event.
#[derive(Debug, Default)]
pub struct Index {
    objects: BTreeMap<ObjectName, Object>,
    /// Objects that cannot be read, and why.
    unreadable: BTreeMap<ObjectName, String>,
    /// What the list that goes on has held until now.
    listing: Option<BTreeSet<ObjectName>>,
}

/// An object that is another one now, is new, or has gone.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    pub before: Option<Object>,
    pub after: Option<Object>,
}

impl Index {
    /// A list begins; one that had begun before has failed.
    pub fn begin_list(&mut self) {
        self.listing = Some(BTreeSet::new());
    }

    /// An object of a list, or a changed one. One that cannot be read does not stay as it was: nobody
    /// could tell what is meant.
    pub fn put(&mut self, read: Read) -> Option<Change> {
        let Read { name, object, .. } = read;
        if let Some(listing) = &mut self.listing {
            listing.insert(name.clone());
        }
        let object = match object {
            Ok(object) => object,
            Err(words) => {
                let change = self.remove(&name);
                self.unreadable.insert(name, words);
                return change;
            }
        };
        self.unreadable.remove(&name);
        if self.objects.get(&name) == Some(&object) {
            return None;
        }
        let before = self.objects.insert(name, object.clone());
        let after = Some(object);
        Some(Change { before, after })
    }

    pub fn remove(&mut self, name: &ObjectName) -> Option<Change> {
        self.unreadable.remove(name);
        let before = self.objects.remove(name)?;
        Some(Change {
            before: Some(before),
            after: None,
        })
    }

    /// The list was complete.
    pub fn end_list(&mut self) -> Vec<Change> {
        let Some(listed) = self.listing.take() else {
            return Vec::new();
        };
        let known = self.objects.keys().chain(self.unreadable.keys());
        let gone: Vec<ObjectName> = known
            .filter(|name| !listed.contains(name))
            .cloned()
            .collect();
        gone.iter().filter_map(|name| self.remove(name)).collect()
    }

    pub fn get(&self, name: &ObjectName) -> Option<&Object> {
        self.objects.get(name)
    }

    pub fn is_listing(&self) -> bool {
        self.listing.is_some()
    }

    pub fn unreadable(&self) -> &BTreeMap<ObjectName, String> {
        &self.unreadable
    }
}
