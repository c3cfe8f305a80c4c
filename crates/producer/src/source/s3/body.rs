//! An object as a file that is read from its beginning to its end: a piece in memory and the next one on its way. Each
//! piece is asked for by the state that was fixed, and asked for again where its connection breaks; one that does not come
//! is an error of the reading, never the object's end.

use std::io::{self, Read};

use issei_aws::{CallError, Only, PIECE_BYTES, S3};
use issei_ledger::FixedObject;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use super::{Objects, words};

pub(super) struct Body {
    runtime: Handle,
    client: S3,
    bucket: String,
    object: FixedObject,
    /// Where the piece after the next begins.
    asked: u64,
    next: Option<JoinHandle<Result<Vec<u8>, CallError>>>,
    bytes: Vec<u8>,
    taken: usize,
}

impl Body {
    /// To be read on a thread that may wait.
    pub(super) fn of(objects: &Objects, object: FixedObject) -> Self {
        let (client, bucket) = (objects.client.clone(), objects.address.bucket.clone());
        let mut body = Self { runtime: Handle::current(), client, bucket, object, asked: 0, next: None, bytes: Vec::new(), taken: 0 };
        body.ask();
        body
    }

    fn ask(&mut self) {
        let (from, left) = (self.asked, self.object.size.saturating_sub(self.asked));
        if left == 0 {
            return;
        }
        let length = left.min(PIECE_BYTES);
        self.asked += length;
        let (client, bucket, object) = (self.client.clone(), self.bucket.clone(), self.object.clone());
        self.next = Some(self.runtime.spawn(async move {
            let only = object.version.as_deref().map_or(Only::ETag(&object.etag), Only::Version);
            let piece = client.piece(&bucket, &object.key, only, from, length).await?;
            Ok(piece.map_or_else(Vec::new, |piece| piece.bytes))
        }));
    }
}

impl Read for Body {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.taken == self.bytes.len() {
            let Some(next) = self.next.take() else { return Ok(0) };
            let piece = self.runtime.block_on(next).map_err(io::Error::other)?;
            self.bytes = piece.map_err(|error| io::Error::other(words(&error, &self.bucket)))?;
            self.taken = 0;
            if self.bytes.is_empty() {
                return Err(io::Error::other("S3 says that it ends before its end; try again"));
            }
            self.ask();
        }
        let rest = self.bytes.get(self.taken..).unwrap_or_default();
        let read = rest.len().min(into.len());
        into.iter_mut().zip(rest).take(read).for_each(|(into, byte)| *into = *byte);
        self.taken += read;
        Ok(read)
    }
}
