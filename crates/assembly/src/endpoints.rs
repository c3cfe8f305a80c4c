//! The addresses at which AWS is asked, as a flag or the environment gives them. The SDK writes them into its warnings.
//!
//! What this must never do: say more of an address that it refuses than where it stands.

use anyhow::bail;

/// Refuses an address that carries a name or a password, before anything could log it. AWS takes no such thing, and signs with
/// credentials of its own.
pub fn no_secrets_in_endpoints(flag: Option<&str>) -> anyhow::Result<()> {
    let given = std::env::vars_os().filter_map(|(name, url)| Some((name.into_string().ok()?, url.to_string_lossy().into_owned())));
    let variables = given.filter(|(name, _)| name.starts_with("AWS_ENDPOINT_URL"));
    let all = flag.map(|url| ("--endpoint-url".to_owned(), url.to_owned())).into_iter().chain(variables);
    for (name, url) in all {
        if has_userinfo(&url) {
            bail!("{name} has a user name or a password before its host, which would stand in logs; leave out what is before the `@`");
        }
    }
    Ok(())
}

fn has_userinfo(url: &str) -> bool {
    let after = url.split_once("//").map_or(url, |(_, after)| after);
    after.split(['/', '?', '#', '\\']).next().is_some_and(|authority| authority.contains('@'))
}

#[cfg(test)]
mod tests {
    use super::has_userinfo;

    #[test]
    fn only_what_stands_before_the_host_is_a_secret() {
        for url in ["https://user:secret@host", "http://token@127.0.0.1:4566/", "user:secret@host:80", "HTTPS://a@b?x"] {
            assert!(has_userinfo(url), "{url}");
        }
        for url in ["", "http://127.0.0.1:4566", "https://host/path@x", "https://host?at=a@b", "https://host#a@b"] {
            assert!(!has_userinfo(url), "{url}");
        }
    }
}
