//! Evidence that came late: somebody who was to be sent to again has an event, so the provider had accepted
//! the request after all.

use aws_sdk_dynamodb::types::Update;

use crate::item::{Key, n, s};
use crate::seal::Sealed;
use crate::{Broadcast, Chunk, Ledger, LedgerError, Outcome};

impl Ledger {
    /// Records as accepted the retryable positions that events prove, and takes the permits that were given
    /// back for them out of what remains: both at once or neither, and once, since the chunk must be as it
    /// was `seen`. Nothing is written where so many permits don't remain just now. Says whether it was.
    ///
    /// The ledger's letters and permits go together: until this is written, such a recipient reads as
    /// accepted and spends no permit.
    pub async fn acknowledge(
        &self,
        broadcast: &Broadcast,
        seq: u32,
        seen: &Chunk,
        proven: &[usize],
        token: &str,
    ) -> Result<bool, LedgerError> {
        let Chunk::Confirmed { page, attempt, outcomes, message_ids, request, written, .. } = seen else { return Ok(false) };
        let id = &broadcast.broadcast_id;
        let retryable: Vec<usize> = outcomes.positions(Outcome::Retryable).filter(|at| proven.contains(at)).collect();
        let after = outcomes.proved(&retryable);
        let (page, attempt, owner, request) = (*page, *attempt, &written.owner, request.as_ref());
        let sealed = Sealed { id, seq, page, attempt, owner, state: "confirmed", outcomes: &after, message_ids, request };
        let mut chunk = Update::builder()
            .set_key(Some(Key::chunk(&broadcast.placed(), seq).into_item()))
            .condition_expression("chunk_state = :confirmed AND attempt = :attempt AND outcomes = :before")
            .expression_attribute_values(":confirmed", s("confirmed"))
            .expression_attribute_values(":attempt", n(attempt))
            .expression_attribute_values(":before", s(outcomes.clone()))
            .expression_attribute_values(":after", s(after.clone()));
        chunk = match &broadcast.message_key {
            Some(key) => {
                chunk.update_expression("SET outcomes = :after, seal = :seal").expression_attribute_values(":seal", s(sealed.seal(key)))
            }
            None => chunk.update_expression("SET outcomes = :after"),
        };
        let permits = Update::builder()
            .set_key(Some(Key::broadcast(id).into_item()))
            // Whoever has counted the chunks meanwhile must count again, as after a reopening.
            .update_expression("SET remaining = remaining - :n, granted = granted + :n ADD reopenings :one")
            .condition_expression("remaining >= :n")
            .expression_attribute_values(":n", n(retryable.len()))
            .expression_attribute_values(":one", n(1));
        self.write_both([chunk, permits], token).await
    }
}
