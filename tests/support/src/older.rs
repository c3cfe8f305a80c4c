//! What earlier builds have left in a ledger. They had fewer rules, so that a producer of this one would take no such command.

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::AttributeValue;
use aws_smithy_types::Blob;
use issei_aws::AwsCall;
use issei_schema::BroadcastCommand;

/// Puts a command in the place of that of its broadcast, as if an earlier build had taken it and frozen its audience.
pub async fn took(db: &Client, table: &str, command: &BroadcastCommand) {
    let text = |text: &str| AttributeValue::S(text.to_owned());
    let (id, hash) = (command.broadcast_id.as_str(), command.hash());
    let of = format!("b#{id}");
    let body = zstd::bulk::compress(command.to_body().as_bytes(), 3).unwrap();
    for (pk, sk, attribute, value) in [
        (of.as_str(), "command", "body", AttributeValue::B(Blob::new(body))),
        (of.as_str(), "broadcast", "command_hash", text(hash.as_str())),
        ("open", id, "command_hash", text(hash.as_str())),
    ] {
        let update = db.update_item().table_name(table).key("pk", text(pk)).key("sk", text(sk));
        let update = update.update_expression("SET #attribute = :value").expression_attribute_names("#attribute", attribute);
        update.expression_attribute_values(":value", value).call().await.unwrap();
    }
}
