//! Why something cannot be done with media.

use hearth_store::StoreError;

use super::depot::DepotError;

/// Why something cannot be done with media.
#[derive(Debug, thiserror::Error)]
pub enum MediaError {
    /// There is no such medium, or none that may be served.
    #[error("there is no such medium")]
    Absent,
    /// Its bytes have not come yet.
    #[error("the bytes of the medium have not come yet")]
    NotYetUploaded,
    /// It has its bytes already.
    #[error("the medium has its bytes already")]
    Filled,
    /// Another user reserved it.
    #[error("the medium was reserved by another user")]
    NotYours,
    /// Its user reserved too many others.
    #[error("too many media are reserved and not filled")]
    TooManyPending,
    /// More bytes than one medium may have.
    #[error("a medium has at most {0} bytes")]
    TooLarge(u64),
    /// Fewer or more bytes came than were announced.
    #[error("{came} bytes came where {announced} were announced")]
    WrongLength {
        /// How many came.
        came: u64,
        /// How many were to come.
        announced: u64,
    },
    /// The user's quota is used up. A page tells more, where there is one.
    #[error("the user's quota is used up")]
    UserFull(Option<String>),
    /// The server's quota is used up.
    #[error("the server's quota is used up")]
    ServerFull,
    /// An administrator forbids this content.
    #[error("this content is forbidden here")]
    Blocked,
    /// The part does not begin where the last one ended.
    #[error("the next byte is number {0}")]
    WrongOffset(u64),
    /// Not something to make a thumbnail of.
    #[error("no thumbnail can be made of it: {0}")]
    NoThumbnail(&'static str),
    /// A picture that is larger than what is decoded here.
    #[error("the picture is too large to make a thumbnail of")]
    PictureTooLarge,
    /// What is to be previewed has no address on the web.
    #[error("this is not the address of a web page")]
    NoAddress,
    /// A web page that no preview can be made of.
    #[error("there is no preview: {0}")]
    NoPreview(String),
    /// Too much of this is under way.
    #[error("too busy")]
    Busy,
    /// The scanner cannot say whether it is clean.
    #[error("the scanner cannot say whether it is clean: {0}")]
    Scanner(String),
    /// Nothing can be written, because the disk is full.
    #[error("the storage is full")]
    Full,
    /// The storage cannot be reached, or failed. Trying again may help.
    #[error("the media storage failed: {0}")]
    Storage(#[source] DepotError),
    /// What should be in the storage is not.
    #[error("the media storage has lost {0}")]
    Lost(String),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<DepotError> for MediaError {
    fn from(error: DepotError) -> Self {
        match error {
            DepotError::Full => Self::Full,
            DepotError::Absent(object) => Self::Lost(object),
            DepotError::Store(error) => Self::Store(error),
            DepotError::Failed(_) | DepotError::Stray => Self::Storage(error),
        }
    }
}
