//! What this node sets itself.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::Global;
use super::database::{ADDRESSES, ADDRESSES_OCTETS, DbError, check_entry, is_public, measure, size};
use super::limits::{Shard, TooMuch};
use super::slot::Source;
use crate::framing::{EncodeError, Encoded};
use crate::value::Value;

/// Who set an entry of this node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owner(pub(super) u64);

impl Global {
    /// Sets an entry of this node. The last one who sets a key owns it.
    ///
    /// # Errors
    ///
    /// When the family or the key is not allowed, the value is too large, or the node would have set too much.
    pub fn set(&mut self, family: &str, key: &str, value: &Value) -> Result<Owner, DbError> {
        if !is_public(family) {
            return Err(DbError::family(family));
        }
        if key.is_empty() {
            return Err(DbError::EmptyKey);
        }
        let value = Encoded::from(value);
        let (measured, _) = measure(&value.place()).map_err(EncodeError::from)?;
        check_entry(key, measured).map_err(|octets| DbError::Entry { octets })?;
        self.shards
            .set(&Source::Own, family, key, value, self.limits.slave)
            .map_err(|TooMuch { entries, octets }| DbError::Full { entries, octets })?;
        self.last_owner += 1;
        let owner = Owner(self.last_owner);
        self.owners.insert((family.into(), key.into()), owner);
        self.flush();
        Ok(owner)
    }

    /// Deletes entries of this node, whoever owns them.
    pub fn delete<'k>(&mut self, family: &str, keys: impl IntoIterator<Item = &'k str>) {
        for key in keys {
            if self.owners.remove(&(family.into(), key.into())).is_some() {
                self.shards.remove(&Source::Own, family, key);
            }
        }
        self.flush();
    }

    /// Deletes an entry of this node if it is still that of the owner; whether it was.
    pub fn remove(&mut self, family: &str, key: &str, owner: Owner) -> bool {
        let is_owner = self.owners.get(&(family.into(), key.into())) == Some(&owner);
        if is_owner {
            self.delete(family, [key]);
        }
        is_owner
    }

    /// Sets the addresses under which others can reach this node (`DB-4`): the first ones, if all of them have a size above
    /// 65,536 (`DB-36`).
    pub fn set_addresses(&mut self, addresses: Vec<String>) {
        let own = self.id.to_string();
        let mut addresses: Vec<Value> = addresses.into_iter().map(Value::Text).collect();
        let mut encoded = Encoded::from(Value::Array(addresses.clone()));
        while size(&encoded) > ADDRESSES_OCTETS {
            addresses.truncate(addresses.len() / 2);
            encoded = Encoded::from(Value::Array(addresses.clone()));
        }
        self.set_own(ADDRESSES, &own, encoded);
        self.flush();
    }

    /// Sets an entry that the protocol itself needs.
    pub(super) fn set_own(&mut self, family: &str, key: &str, value: Encoded) {
        const UNLIMITED: Shard = Shard { entries: usize::MAX, octets: usize::MAX };
        let set = self.shards.set(&Source::Own, family, key, value, UNLIMITED);
        debug_assert!(set.is_ok(), "there is no limit");
    }
}
