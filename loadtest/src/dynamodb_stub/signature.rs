//! Whether a request is signed as AWS's tools sign: its shape, since this endpoint knows no secret to check it with.

use super::refusal::{Refusal, RefusalKind};

/// The header's parameters, all of which must be there.
const PARAMETERS: [&str; 3] = ["Credential", "SignedHeaders", "Signature"];

/// Checks the headers `Authorization` and `X-Amz-Date` (or `Date`).
pub(super) fn check(authorization: Option<&str>, has_date: bool) -> Result<(), Refusal> {
    let Some((algorithm, parameters)) =
        authorization.map(|given| given.trim().split_once(' ').unwrap_or((given.trim(), "")))
    else {
        return Err(missing());
    };
    if !algorithm.starts_with("AWS4-") {
        return Err(missing());
    }
    let parameter = |name: &str| {
        parameters.split(',').find_map(|given| given.trim().strip_prefix(name)?.strip_prefix('='))
    };
    let mut wrong = String::new();
    for name in PARAMETERS.into_iter().filter(|name| parameter(name).is_none_or(str::is_empty)) {
        wrong.push_str(&format!("Authorization header requires '{name}' parameter. "));
    }
    if !has_date {
        wrong.push_str(
            "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header. ",
        );
    }
    if !wrong.is_empty() {
        return Err(Refusal::new(RefusalKind::IncompleteSignature, wrong.trim_end().to_owned()));
    }
    let credential = parameter("Credential").unwrap_or_default();
    let parts: Vec<_> = credential.split('/').collect();
    let [_, _, _, service, terminator] = parts.as_slice() else {
        let message =
            "Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term";
        return Err(Refusal::new(RefusalKind::IncompleteSignature, message));
    };
    if *service != "dynamodb" || *terminator != "aws4_request" {
        let message =
            "Credential should be scoped to correct service: 'dynamodb', with the terminator 'aws4_request'.";
        return Err(Refusal::new(RefusalKind::InvalidSignature, message));
    }
    Ok(())
}

fn missing() -> Refusal {
    Refusal::new(RefusalKind::MissingAuthenticationToken, "Request is missing Authentication Token")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_must_be_signed_for_this_service() {
        let good = "AWS4-HMAC-SHA256 Credential=id/20260501/eu-west-1/dynamodb/aws4_request, \
                    SignedHeaders=host;x-amz-date, Signature=abc";
        assert_eq!(check(Some(good), true), Ok(()));
        let kind = |authorization: Option<&str>, has_date| check(authorization, has_date).unwrap_err().kind;
        assert_eq!(kind(None, true), RefusalKind::MissingAuthenticationToken);
        assert_eq!(kind(Some("Bearer x"), true), RefusalKind::MissingAuthenticationToken);
        assert_eq!(kind(Some("AWS4-HMAC-SHA256"), true), RefusalKind::IncompleteSignature);
        assert_eq!(kind(Some(good), false), RefusalKind::IncompleteSignature);
        assert_eq!(kind(Some(&good.replace("/eu-west-1", "")), true), RefusalKind::IncompleteSignature);
        assert_eq!(kind(Some(&good.replace("dynamodb", "s3")), true), RefusalKind::InvalidSignature);
    }
}
