//! `CloudFormation` in an emulator, and the few calls beside it that a stack asks for. No SDK is worth it
//! for those.

use std::collections::BTreeMap;

use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use issei_clock::Dice;
use serde_json::{Value, json};
use url::form_urlencoded::Serializer;

use crate::patience::{seen, until};
use crate::processes::aws_url;

/// An emulator of what the templates make.
#[derive(Clone)]
pub struct Emulator {
    url: String,
}

/// A stack, and what it gave out.
pub struct Stack {
    emulator: Emulator,
    name: String,
    outputs: BTreeMap<String, String>,
}

impl Emulator {
    /// None where there is none, which is an error in CI.
    #[expect(clippy::print_stderr, reason = "a test that is skipped says so")]
    #[must_use]
    pub fn at_hand() -> Option<Self> {
        let Some(url) = aws_url() else {
            assert!(std::env::var("CI").as_deref() != Ok("true"), "no emulator");
            eprintln!("SKIPPED: no emulator of CloudFormation; set ISSEI_TEST_AWS_URL");
            return None;
        };
        Some(Self { url })
    }

    /// A name that nobody else has, so that tests can share the emulator.
    #[must_use]
    pub fn name() -> String {
        format!("t{}", &Dice::system().token()[..8].to_lowercase())
    }

    /// Makes a stack of this template, and waits until it is there.
    ///
    /// # Panics
    /// Where the stack can't be made.
    pub async fn make(&self, name: &str, template: &Value, parameters: &[(&str, &str)]) -> Stack {
        let body = with_numbers(template, &template["Parameters"]).to_string();
        let mut form = vec![("TemplateBody".to_owned(), body), ("Capabilities.member.1".to_owned(), "CAPABILITY_IAM".to_owned())];
        for (at, (key, value)) in parameters.iter().enumerate() {
            form.push((format!("Parameters.member.{}.ParameterKey", at + 1), (*key).to_owned()));
            form.push((format!("Parameters.member.{}.ParameterValue", at + 1), (*value).to_owned()));
        }
        let mut stack = Stack { emulator: self.clone(), name: name.to_owned(), outputs: BTreeMap::new() };
        let made = stack.call("CreateStack", &form).await;
        assert!(made.contains("<StackId>"), "{made}");
        let told = seen(format!("the stack {name} is there"), async || {
            let told = stack.call("DescribeStacks", &[]).await;
            let status = between(&told, "<StackStatus>", "</StackStatus>").unwrap_or_default();
            assert!(!status.contains("FAILED") && !status.contains("ROLLBACK"), "{told} {}", stack.call("DescribeStackEvents", &[]).await);
            (status == "CREATE_COMPLETE").then_some(told)
        })
        .await;
        let members = told.split("<OutputKey>").skip(1);
        stack.outputs = members
            .filter_map(|member| Some((member.split('<').next()?.to_owned(), between(member, "<OutputValue>", "</OutputValue>")?)))
            .collect();
        stack
    }

    /// Puts an object into a bucket, which is made for it.
    pub async fn put_object(&self, bucket: &str, key: &str, body: Vec<u8>) {
        for (path, body) in [(format!("/{bucket}"), Vec::new()), (format!("/{bucket}/{key}"), body)] {
            self.put(&path, body).await;
        }
    }

    /// Has a bucket keep versions from now on.
    pub async fn keep_versions(&self, bucket: &str) {
        self.put(&format!("/{bucket}"), Vec::new()).await;
        let body = "<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>";
        self.put(&format!("/{bucket}?versioning"), body.into()).await;
    }

    async fn put(&self, path: &str, body: Vec<u8>) {
        let request = http::Request::put(format!("{}{path}", self.url)).header("authorization", authorization("s3"));
        let (status, answer) = call(request.body(Full::new(body.into())).unwrap()).await;
        assert_eq!(status, 200, "{path}: {answer}");
    }

    /// Keeps a secret: its ARN.
    pub async fn secret(&self, value: &str) -> String {
        let body = json!({ "Name": Self::name(), "SecretString": value, "ClientRequestToken": Dice::system().token() }).to_string();
        let request = http::Request::post(&self.url)
            .header("content-type", "application/x-amz-json-1.1")
            .header("x-amz-target", "secretsmanager.CreateSecret")
            .header("authorization", authorization("secretsmanager"));
        let (_, answer) = call(request.body(Full::new(body.into())).unwrap()).await;
        let answer: Value = serde_json::from_str(&answer).unwrap_or_else(|error| panic!("{error}: {answer}"));
        answer["ARN"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned()
    }

    /// Makes one call of SNS, and gives the answer as it is.
    pub async fn sns(&self, action: &str, form: &[(&str, &str)]) -> String {
        let mut body = Serializer::new(String::new());
        body.append_pair("Action", action).append_pair("Version", "2010-03-31").extend_pairs(form);
        let body = body.finish();
        let request = http::Request::post(&self.url)
            .header("content-type", "application/x-www-form-urlencoded")
            .header("authorization", authorization("sns"));
        let (status, answer) = call(request.body(Full::new(body.into())).unwrap()).await;
        assert_eq!(status, 200, "{action}: {answer}");
        answer
    }

    /// Calls a function: what it answers.
    pub async fn invoke(&self, function: &str, payload: &Value) -> Value {
        let url = format!("{}/2015-03-31/functions/{function}/invocations", self.url);
        let request = http::Request::post(url).header("authorization", authorization("lambda"));
        let (_, answer) = call(request.body(Full::new(payload.to_string().into())).unwrap()).await;
        serde_json::from_str(&answer).unwrap_or_else(|error| panic!("{error}: {answer}"))
    }
}

impl Stack {
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
        until(format!("the stack {} is gone", self.name), async || {
            let told = self.call("DescribeStacks", &[]).await;
            !told.contains("<StackStatus>") || told.contains("DELETE_COMPLETE")
        })
        .await;
    }

    async fn call(&self, action: &str, more: &[(String, String)]) -> String {
        let mut form = Serializer::new(String::new());
        form.append_pair("Action", action).append_pair("Version", "2010-05-15").append_pair("StackName", &self.name).extend_pairs(more);
        let request = http::Request::post(&self.emulator.url)
            .header("content-type", "application/x-www-form-urlencoded")
            .header("authorization", authorization("cloudformation"));
        call(request.body(Full::new(form.finish().into())).unwrap()).await.1
    }
}

/// The emulator finds the service by the scope of the signature, and does not check it.
fn authorization(service: &str) -> String {
    format!("AWS4-HMAC-SHA256 Credential=test/20261124/us-east-1/{service}/aws4_request, SignedHeaders=host, Signature=0")
}

async fn call(request: http::Request<Full<bytes::Bytes>>) -> (u16, String) {
    let answer = Client::builder(TokioExecutor::new()).build_http().request(request).await.unwrap();
    let status = answer.status().as_u16();
    (status, String::from_utf8(answer.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap())
}

/// The emulator hands a parameter of type Number on as a text, and then compares it with numbers. So what
/// refers to one gets its default, written out.
fn with_numbers(value: &Value, parameters: &Value) -> Value {
    match value {
        Value::Object(members) => {
            if let (1, Some(name)) = (members.len(), members.get("Ref").and_then(Value::as_str))
                && parameters[name]["Type"] == "Number"
            {
                return parameters[name]["Default"].clone();
            }
            members.iter().map(|(name, member)| (name.clone(), with_numbers(member, parameters))).collect()
        }
        Value::Array(members) => members.iter().map(|member| with_numbers(member, parameters)).collect(),
        other => other.clone(),
    }
}

fn between(text: &str, from: &str, to: &str) -> Option<String> {
    Some(text.split_once(from)?.1.split_once(to)?.0.to_owned())
}
