//! Where a service is asked that has no SDK crate here.

use aws_config::SdkConfig;
use aws_types::service_config::ServiceConfigKey;

use crate::evidence::NO_REGION;
use crate::signed::Service;

/// Where the service is asked: as the environment and the profile say, or where its region has it.
pub(crate) fn endpoint(config: &SdkConfig, service: &Service) -> Result<String, String> {
    let id = service.id;
    let global = config.endpoint_url().map(str::to_owned);
    if config.get_origin("endpoint_url").is_client_config() {
        return global.ok_or_else(|| NO_REGION.to_owned());
    }
    let key = ServiceConfigKey::builder().service_id(id).env("AWS_ENDPOINT_URL").profile("endpoint_url").build();
    let own = key.ok().and_then(|key| config.service_config()?.load_config(key));
    if let Some(url) = own.or(global) {
        return Ok(url);
    }
    let region = config.region().map(AsRef::as_ref).ok_or_else(|| NO_REGION.to_owned())?;
    let fips = if config.use_fips() == Some(true) { "-fips" } else { "" };
    let dual = config.use_dual_stack() == Some(true);
    // The partitions of AWS by their regions' names (its SDKs' `partitions.json`).
    let domain = match region.split('-').next() {
        Some("cn") if dual => "api.amazonwebservices.com.cn",
        Some("cn") => "amazonaws.com.cn",
        Some("eusc") if !dual => "amazonaws.eu",
        _ if region.contains("-iso") || region.starts_with("eusc-") => {
            return Err(format!(
                "where it is in {region} is not known here; set AWS_ENDPOINT_URL_{id}",
                id = id.replace(' ', "_").to_ascii_uppercase()
            ));
        }
        _ if dual => "api.aws",
        _ => "amazonaws.com",
    };
    if service.is_s3() && dual {
        let domain = domain.replace("api.aws", "amazonaws.com").replace("api.amazonwebservices", "amazonaws");
        return Ok(format!("https://s3{fips}.dualstack.{region}.{domain}"));
    }
    Ok(format!("https://{}{fips}.{region}.{domain}", service.name))
}

#[cfg(test)]
mod tests {
    #[test]
    fn each_service_is_found_where_its_region_has_it() {
        let url = |region: &'static str, dual: bool| {
            let config = aws_config::SdkConfig::builder().region(aws_config::Region::new(region)).use_dual_stack(dual).build();
            super::endpoint(&config, &crate::sns::SNS)
        };
        assert_eq!(url("ap-northeast-1", false).unwrap(), "https://sns.ap-northeast-1.amazonaws.com");
        assert_eq!(url("ap-northeast-1", true).unwrap(), "https://sns.ap-northeast-1.api.aws");
        assert_eq!(url("cn-north-1", false).unwrap(), "https://sns.cn-north-1.amazonaws.com.cn");
        assert_eq!(url("eusc-de-east-1", false).unwrap(), "https://sns.eusc-de-east-1.amazonaws.eu");
        assert!(url("us-iso-east-1", false).unwrap_err().contains("set AWS_ENDPOINT_URL_SNS"));
    }
}
