//! SES v2: the account, a configuration set, and bulk sends.

use aws_sdk_sesv2::types::{
    BulkEmailContent, BulkEmailEntry, BulkEmailStatus, Destination, EmailTemplateContent, MessageTag, ReplacementEmailContent,
    ReplacementTemplate, Template,
};
use issei_aws::AwsCall;

use super::Subject;

pub(crate) async fn run(subject: &Subject) {
    let ses = &subject.clients.ses;
    let quota = ses.get_account().call().await.unwrap().send_quota.unwrap();
    assert!(quota.max_send_rate > 0.0 && quota.max24_hour_send >= 0.0);
    let set = format!("{}-set", subject.prefix);
    ses.create_configuration_set().configuration_set_name(&set).call().await.unwrap();
    let error = ses.create_configuration_set().configuration_set_name(&set).call().await.unwrap_err();
    assert!(error.as_service_error().unwrap().is_already_exists_exception(), "{error:?}");
    // An emulator may ask for a verified sender first, as SES does; the simulator has none to ask for.
    let _ = ses.create_email_identity().email_identity("example.com").call().await;
    let content = EmailTemplateContent::builder().subject("Hi {{line_name}}").text("Dear {{name}}").html("<p>{{html_name}}</p>").build();
    let content = BulkEmailContent::builder().template(Template::builder().template_content(content).template_data("{}").build()).build();
    let entry = |number: usize| {
        let data =
            ReplacementTemplate::builder().replacement_template_data("{\"name\":\"A\",\"line_name\":\"A\",\"html_name\":\"A\"}").build();
        let tag = |name: &str, value: String| MessageTag::builder().name(name).value(value).build().unwrap();
        BulkEmailEntry::builder()
            .destination(Destination::builder().to_addresses(format!("success+{number}@simulator.amazonses.com")).build())
            .replacement_email_content(ReplacementEmailContent::builder().replacement_template(data).build())
            .replacement_tags(tag("broadcast", "terms".to_owned()))
            .replacement_tags(tag("recipient", number.to_string()))
            .build()
    };
    let send = ses
        .send_bulk_email()
        .from_email_address("\"Example\" <no-reply@example.com>")
        .configuration_set_name(&set)
        .default_content(content);
    let answer = send.set_bulk_email_entries(Some((0..50).map(entry).collect())).call().await.unwrap();
    assert_eq!(answer.bulk_email_entry_results().len(), 50);
    let mut ids: Vec<&str> = answer.bulk_email_entry_results().iter().map(|result| result.message_id().unwrap()).collect();
    assert!(answer.bulk_email_entry_results().iter().all(|result| result.status() == Some(&BulkEmailStatus::Success)));
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 50, "every recipient has a message id of their own");
}
