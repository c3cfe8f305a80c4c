//! A `CloudFormation` stack in an emulator, over the query protocol: a few calls that no SDK is worth for.

use std::collections::BTreeMap;
use std::time::Duration;

use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use issei_clock::Dice;
use url::form_urlencoded::Serializer;

use crate::processes::aws_url;

/// What a stack gave out.
pub struct StackOutputs {
    url: String,
    name: String,
    outputs: BTreeMap<String, String>,
}

impl StackOutputs {
    /// Makes a stack of this template under names of its own, and waits until it is there. None where no
    /// emulator is at hand, which is an error in CI.
    ///
    /// # Panics
    /// Where the stack can't be made.
    #[expect(clippy::print_stderr, reason = "a test that is skipped says so")]
    pub async fn create(template: &str) -> Option<Self> {
        let Some(url) = aws_url() else {
            assert!(std::env::var("CI").as_deref() != Ok("true"), "no emulator");
            eprintln!("SKIPPED: no emulator of CloudFormation; set ISSEI_TEST_AWS_URL");
            return None;
        };
        let name = format!("t{}", &Dice::system().token()[..8].to_lowercase());
        let mut stack = Self { url, name: name.clone(), outputs: BTreeMap::new() };
        let parameters = [
            ("TemplateBody", template),
            ("Capabilities.member.1", "CAPABILITY_IAM"),
            ("Parameters.member.1.ParameterKey", "Prefix"),
            ("Parameters.member.1.ParameterValue", &name),
        ];
        let made = stack.call("CreateStack", &parameters).await;
        assert!(made.contains("<StackId>"), "{made}");
        for _ in 0..300 {
            let told = stack.call("DescribeStacks", &[]).await;
            let status = between(&told, "<StackStatus>", "</StackStatus>").unwrap_or_default();
            if status == "CREATE_COMPLETE" {
                let members = told.split("<OutputKey>").skip(1);
                stack.outputs = members
                    .filter_map(|member| Some((member.split('<').next()?.to_owned(), between(member, "<OutputValue>", "</OutputValue>")?)))
                    .collect();
                return Some(stack);
            }
            assert!(!status.contains("FAILED") && !status.contains("ROLLBACK"), "{told} {}", stack.call("DescribeStackEvents", &[]).await);
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        panic!("the stack is not there after a minute");
    }

    /// The value of one output.
    ///
    /// # Panics
    /// Where the stack has none of that name.
    #[must_use]
    pub fn get(&self, output: &str) -> &str {
        self.outputs.get(output).unwrap_or_else(|| panic!("no output {output}: {:?}", self.outputs))
    }

    /// Takes it down, and waits until it is gone.
    ///
    /// # Panics
    /// Where it stays.
    pub async fn delete(self) {
        self.call("DeleteStack", &[]).await;
        for _ in 0..300 {
            let told = self.call("DescribeStacks", &[]).await;
            if !told.contains("<StackStatus>") || told.contains("DELETE_COMPLETE") {
                return;
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        panic!("the stack is still there after a minute");
    }

    async fn call(&self, action: &str, more: &[(&str, &str)]) -> String {
        let mut form = Serializer::new(String::new());
        form.append_pair("Action", action).append_pair("Version", "2010-05-15").append_pair("StackName", &self.name).extend_pairs(more);
        // The emulator finds the service by the scope of the signature, and does not check it.
        let scope = "Credential=test/20261124/us-east-1/cloudformation/aws4_request";
        let request = http::Request::post(&self.url)
            .header("content-type", "application/x-www-form-urlencoded")
            .header("authorization", format!("AWS4-HMAC-SHA256 {scope}, SignedHeaders=host, Signature=0"))
            .body(Full::new(bytes::Bytes::from(form.finish())))
            .unwrap();
        let client = Client::builder(TokioExecutor::new()).build_http();
        let answer = client.request(request).await.unwrap();
        String::from_utf8(answer.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap()
    }
}

fn between(text: &str, from: &str, to: &str) -> Option<String> {
    Some(text.split_once(from)?.1.split_once(to)?.0.to_owned())
}
