//! STS, as far as saying who the caller is: the one operation here that speaks the query protocol.

use bytes::Bytes;
use http::{Request, Response};

const IDENTITY: &str = r#"<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><GetCallerIdentityResult><Arn>arn:aws:iam::000000000000:user/operator</Arn><UserId>AIDA0000000000000000</UserId><Account>000000000000</Account></GetCallerIdentityResult><ResponseMetadata><RequestId>00000000-0000-4000-8000-000000000000</RequestId></ResponseMetadata></GetCallerIdentityResponse>"#;

/// The answer, where the request is one for STS.
pub(crate) fn answer(request: &Request<Bytes>) -> Option<Response<Bytes>> {
    let is_asked = request.body().starts_with(b"Action=GetCallerIdentity");
    is_asked.then(|| Response::new(Bytes::from_static(IDENTITY.as_bytes())))
}
