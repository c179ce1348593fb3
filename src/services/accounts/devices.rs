//! What users do with their devices.

use hearth_core::grammar;
use hearth_core::id::UserNid;
use hearth_store::device::Device;
use hearth_store::log::{Change, Entry, Proposal};
use ruma::{DeviceId, OwnedDeviceId};

use super::{AccountError, Accounts};
use crate::log::CommitError;

impl Accounts {
    /// The devices of a user.
    pub async fn devices(&self, user: UserNid) -> Result<Vec<Device>, AccountError> {
        let devices = self.0.store.devices(user).await?;
        Ok(devices.into_iter().map(|device| self.0.last_seen.complete(user, device)).collect())
    }

    /// One device of a user.
    pub async fn device(&self, user: UserNid, device_id: &DeviceId) -> Result<Device, AccountError> {
        let device = self.0.store.device(user, device_id.as_str()).await?.ok_or(AccountError::NoDevice)?;
        Ok(self.0.last_seen.complete(user, device))
    }

    /// Gives a device another name.
    pub async fn rename_device(
        &self,
        user: UserNid,
        device_id: &DeviceId,
        name: String,
    ) -> Result<(), AccountError> {
        grammar::device_name(&name).map_err(AccountError::DeviceName)?;
        let device_id = device_id.to_string();
        let change = Change::RenameDevice { user, device_id, display_name: Some(name) };
        match self.0.log.commit(Proposal::change(change)).await {
            Ok(_) => Ok(()),
            Err(CommitError::Absent) => Err(AccountError::NoDevice),
            Err(error) => Err(error.into()),
        }
    }

    /// Logs devices out, all or none. Those that the user does not have are out already.
    pub async fn delete_devices(
        &self,
        user: UserNid,
        devices: Vec<OwnedDeviceId>,
    ) -> Result<(), AccountError> {
        let entries: Vec<Entry> = devices
            .iter()
            .map(|id| Change::CloseSession { user, device_id: Some(id.to_string()), all_but: None })
            .map(Entry::Change)
            .collect();
        if entries.is_empty() {
            return Ok(());
        }
        self.0.log.commit(Proposal { entries, ..Proposal::default() }).await?;
        Ok(())
    }
}
