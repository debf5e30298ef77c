//! An example of each format, and two near misses. They are written as repetitions (`#`, what is repeated, `*`, how often, `;`),
//! so that no scanner takes them for real tokens.

use std::collections::HashSet;

use super::table::TABLE;
use super::*;

/// The format's id, what precedes the secret in a match, the secret, and two near misses.
pub(crate) type Example = (&'static str, &'static str, &'static str, [&'static str; 2]);

#[rustfmt::skip]
pub(crate) const EXAMPLES: &[Example] = &[
    ("jwt", "", "eyJ#a1B2*3;.a1.#a1B2*3;", ["eyJ#a1B2*2;..#a1B2*1;a1B", "xeyJ#a1B2*3;.a1.#a1B2*3;"]),
    ("secret-token-uri", "", "secret-token:#a1B2*3;", ["secret-token:#a1B2*1;a1B", "xsecret-token:#a1B2*3;"]),
    ("age-secret-key", "", "AGE-SECRET-KEY-1#A1B2*14;A1", ["AGE-SECRET-KEY-1#A1B2*14;A", "xAGE-SECRET-KEY-1#A1B2*14;A1"]),
    ("bip32-private-key", "", "xprv#a1B2*26;a1B", ["xprv#a1B2*26;a1", "xxprv#a1B2*26;a1B"]),
    ("nostr-private-key", "", "nsec1#a1b2*14;a1", ["nsec1#a1b2*14;a", "xnsec1#a1b2*14;a1"]),
    ("base64-private-key", "", "LS0tLS1CRUdJTiBQUklWQVRFIEtFWS#a1B2*9;", ["LS0tLS1CRUdJTiBQUklWQVRFIEtFWS#a1B2*7;a1B", "xLS0tLS1CRUdJTiBQUklWQVRFIEtFWS#a1B2*9;"]),
    ("base64-rsa-private-key", "", "LS0tLS1CRUdJTiBSU0EgUFJJVkFURSBLRVkt#a1B2*9;", ["LS0tLS1CRUdJTiBSU0EgUFJJVkFURSBLRVkt#a1B2*7;a1B", "xLS0tLS1CRUdJTiBSU0EgUFJJVkFURSBLRVkt#a1B2*9;"]),
    ("base64-ec-private-key", "", "LS0tLS1CRUdJTiBFQyBQUklWQVRFIEtFWS#a1B2*9;", ["LS0tLS1CRUdJTiBFQyBQUklWQVRFIEtFWS#a1B2*7;a1B", "xLS0tLS1CRUdJTiBFQyBQUklWQVRFIEtFWS#a1B2*9;"]),
    ("base64-openssh-private-key", "", "LS0tLS1CRUdJTiBPUEVOU1NIIFBSSVZBVEUgS0VZ#a1B2*9;", ["LS0tLS1CRUdJTiBPUEVOU1NIIFBSSVZBVEUgS0VZ#a1B2*7;a1B", "xLS0tLS1CRUdJTiBPUEVOU1NIIFBSSVZBVEUgS0VZ#a1B2*9;"]),
    ("github-personal-access-token", "", "ghp_#a1B2*8;a1", ["ghp_#a1B2*7;a", "xghp_#a1B2*8;a1"]),
    ("github-oauth-token", "", "gho_#a1B2*8;a1", ["gho_#a1B2*7;a", "xgho_#a1B2*8;a1"]),
    ("github-user-token", "", "ghu_#a1B2*8;a1", ["ghu_#a1B2*7;a", "xghu_#a1B2*8;a1"]),
    ("github-server-token", "", "ghs_#a1B2*8;a1", ["ghs_#a1B2*7;a", "xghs_#a1B2*8;a1"]),
    ("github-refresh-token", "", "ghr_#a1B2*8;a1", ["ghr_#a1B2*7;a", "xghr_#a1B2*8;a1"]),
    ("github-fine-grained-token", "", "github_pat_#a1B2*10;", ["github_pat_#a1B2*8;a1B", "xgithub_pat_#a1B2*10;"]),
    ("gitlab-personal-access-token", "", "glpat-#a1B2*5;", ["glpat-#a1B2*3;a1B", "xglpat-#a1B2*5;"]),
    ("gitlab-oauth-secret", "", "gloas-#a1B2*5;", ["gloas-#a1B2*3;a1B", "xgloas-#a1B2*5;"]),
    ("gitlab-deploy-token", "", "gldt-#a1B2*5;", ["gldt-#a1B2*3;a1B", "xgldt-#a1B2*5;"]),
    ("gitlab-runner-token", "", "glrt-#a1B2*5;", ["glrt-#a1B2*3;a1B", "xglrt-#a1B2*5;"]),
    ("gitlab-runner-registration-token", "", "glrtr-#a1B2*5;", ["glrtr-#a1B2*3;a1B", "xglrtr-#a1B2*5;"]),
    ("gitlab-runner-legacy-token", "", "GR1348941#a1B2*5;", ["GR1348941#a1B2*3;a1B", "xGR1348941#a1B2*5;"]),
    ("gitlab-ci-build-token", "", "glcbt-#a1B2*5;", ["glcbt-#a1B2*3;a1B", "xglcbt-#a1B2*5;"]),
    ("gitlab-pipeline-trigger-token", "", "glptt-#a1B2*5;", ["glptt-#a1B2*3;a1B", "xglptt-#a1B2*5;"]),
    ("gitlab-feed-token", "", "glft-#a1B2*5;", ["glft-#a1B2*3;a1B", "xglft-#a1B2*5;"]),
    ("gitlab-incoming-mail-token", "", "glimt-#a1B2*5;", ["glimt-#a1B2*3;a1B", "xglimt-#a1B2*5;"]),
    ("gitlab-agent-token", "", "glagent-#a1B2*5;", ["glagent-#a1B2*3;a1B", "xglagent-#a1B2*5;"]),
    ("gitlab-workspace-token", "", "glwt-#a1B2*5;", ["glwt-#a1B2*3;a1B", "xglwt-#a1B2*5;"]),
    ("gitlab-scim-token", "", "glsoat-#a1B2*5;", ["glsoat-#a1B2*3;a1B", "xglsoat-#a1B2*5;"]),
    ("gitlab-feature-flags-token", "", "glffct-#a1B2*5;", ["glffct-#a1B2*3;a1B", "xglffct-#a1B2*5;"]),
    ("atlassian-api-token", "", "ATATT3#a1B2*8;a1", ["ATATT3#a1B2*7;a", "xATATT3#a1B2*8;a1"]),
    ("bitbucket-access-token", "", "ATCTT3#a1B2*8;a1", ["ATCTT3#a1B2*7;a", "xATCTT3#a1B2*8;a1"]),
    ("bitbucket-app-password", "", "ATBB#a1B2*7;", ["ATBB#a1B2*5;a1B", "xATBB#a1B2*7;"]),
    ("jetbrains-permanent-token", "", "perm:#a1B2*1;a1.#a1B2*1;.#a1B2*6;", ["perm:#a1B2*1;.a1.#a1B2*4;a1B", "xperm:#a1B2*1;a1.#a1B2*1;.#a1B2*6;"]),
    ("jetbrains-permanent-token-url-safe", "", "perm-#a1B2*1;a1.#a1B2*1;.#a1B2*6;", ["perm-#a1B2*1;.a1.#a1B2*4;a1B", "xperm-#a1B2*1;a1.#a1B2*1;.#a1B2*6;"]),
    ("sourcegraph-access-token", "", "sgp_#a1B2*11;", ["sgp_#a1B2*9;a1B", "xsgp_#a1B2*11;"]),
    ("circleci-personal-token", "", "CCIPAT_#a1B2*5;_#0a1b*10;", ["CCIPAT_#a1B2*4;_#0a1b*9;0a1", "xCCIPAT_#a1B2*5;_#0a1b*10;"]),
    ("circleci-project-token", "", "CCIPRJ_#a1B2*5;_#0a1b*10;", ["CCIPRJ_#a1B2*4;_#0a1b*9;0a1", "xCCIPRJ_#a1B2*5;_#0a1b*10;"]),
    ("buildkite-user-token", "", "bkua_#0a1b*10;", ["bkua_#0a1b*9;0a1", "xbkua_#0a1b*10;"]),
    ("sonarqube-user-token", "", "squ_#0a1b*10;", ["squ_#0a1b*9;0a1", "xsqu_#0a1b*10;"]),
    ("sonarqube-project-token", "", "sqp_#0a1b*10;", ["sqp_#0a1b*9;0a1", "xsqp_#0a1b*10;"]),
    ("sonarqube-global-token", "", "sqa_#0a1b*10;", ["sqa_#0a1b*9;0a1", "xsqa_#0a1b*10;"]),
    ("harness-personal-token", "", "pat.#a1B2*5;a1.#a1B2*6;.#a1B2*5;", ["pat.#a1B2*5;a1.#a1B2*6;.#a1B2*4;a1B", "xpat.#a1B2*5;a1.#a1B2*6;.#a1B2*5;"]),
    ("harness-service-token", "", "sat.#a1B2*5;a1.#a1B2*6;.#a1B2*5;", ["sat.#a1B2*5;a1.#a1B2*6;.#a1B2*4;a1B", "xsat.#a1B2*5;a1.#a1B2*6;.#a1B2*5;"]),
    ("octopus-api-key", "", "API-#A1B2*7;A", ["API-#A1B2*6;", "xAPI-#A1B2*7;A"]),
    ("snyk-user-token", "", "snyk_uat.#0a1b*2;.#a1B2*6;", ["snyk_uat.#0a1b*2;.#a1B2*4;a1B", "xsnyk_uat.#0a1b*2;.#a1B2*6;"]),
    ("snyk-service-token", "", "snyk_sat.#0a1b*2;.#a1B2*6;", ["snyk_sat.#0a1b*2;.#a1B2*4;a1B", "xsnyk_sat.#0a1b*2;.#a1B2*6;"]),
    ("infracost-api-key", "", "ico-#a1B2*8;", ["ico-#a1B2*7;a1B", "xico-#a1B2*8;"]),
    ("pulumi-access-token", "", "pul-#0a1b*10;", ["pul-#0a1b*9;0a1", "xpul-#0a1b*10;"]),
    ("depot-token", "", "depot_project_#0a1b*16;", ["depot_project_#0a1b*14;0a1", "xdepot_project_#0a1b*16;"]),
    ("depot-user-token", "", "depot_user_#0a1b*16;", ["depot_user_#0a1b*14;0a1", "xdepot_user_#0a1b*16;"]),
    ("depot-organization-token", "", "depot_org_#0a1b*16;", ["depot_org_#0a1b*14;0a1", "xdepot_org_#0a1b*16;"]),
    ("npm-access-token", "", "npm_#a1B2*8;a1", ["npm_#a1B2*7;a", "xnpm_#a1B2*8;a1"]),
    ("pypi-token", "", "pypi-AgE#a1B2*13;a1", ["pypi-AgE#a1B2*12;a", "xpypi-AgE#a1B2*13;a1"]),
    ("rubygems-api-key", "", "rubygems_#0a1b*12;", ["rubygems_#0a1b*11;0a1", "xrubygems_#0a1b*12;"]),
    ("crates-io-token", "", "cio#a1B2*8;", ["cio#a1B2*7;a1B", "xcio#a1B2*8;"]),
    ("nuget-api-key", "", "oy2#a1b2*10;a1b", ["oy2#a1b2*10;a1", "xoy2#a1b2*10;a1b"]),
    ("clojars-deploy-token", "", "CLOJARS_#0a1b*15;", ["CLOJARS_#0a1b*14;0a1", "xCLOJARS_#0a1b*15;"]),
    ("docker-personal-token", "", "dckr_pat_#a1B2*6;", ["dckr_pat_#a1B2*4;a1B", "xdckr_pat_#a1B2*6;"]),
    ("docker-organization-token", "", "dckr_oat_#a1B2*6;", ["dckr_oat_#a1B2*4;a1B", "xdckr_oat_#a1B2*6;"]),
    ("docker-swarm-join-token", "", "SWMTKN-1-#a1b2*11;-#a1b2*6;", ["SWMTKN-1-#a1b2*10;-#a1b2*4;a1b", "xSWMTKN-1-#a1b2*11;-#a1b2*6;"]),
    ("artifactory-api-key", "", "AKCp#a1B2*16;", ["AKCp#a1B2*14;a1B", "xAKCp#a1B2*16;"]),
    ("artifactory-reference-token", "", "cmVmdGtu#a1B2*13;a1", ["cmVmdGtu#a1B2*12;a", "xcmVmdGtu#a1B2*13;a1"]),
    ("deno-deploy-token", "", "ddp_#a1B2*9;", ["ddp_#a1B2*8;a1B", "xddp_#a1B2*9;"]),
    ("aws-access-key-id", "", "AKIA#A1B2*4;", ["AKIA#A1B2*3;A1B", "xAKIA#A1B2*4;"]),
    ("aws-temporary-access-key-id", "", "ASIA#A1B2*4;", ["ASIA#A1B2*3;A1B", "xASIA#A1B2*4;"]),
    ("aws-bearer-token-id", "", "ABIA#A1B2*4;", ["ABIA#A1B2*3;A1B", "xABIA#A1B2*4;"]),
    ("aws-bedrock-api-key", "", "ABSK#a1B2*21;", ["ABSK#a1B2*19;a1B", "xABSK#a1B2*21;"]),
    ("aws-bedrock-short-term-key", "", "bedrock-api-key-#a1B2*11;", ["bedrock-api-key-#a1B2*9;a1B", "xbedrock-api-key-#a1B2*11;"]),
    ("amazon-login-client-secret", "", "amzn1.oa2-cs.v1.#0a1b*16;", ["amzn1.oa2-cs.v1.#0a1b*15;0a1", "xamzn1.oa2-cs.v1.#0a1b*16;"]),
    ("amazon-login-access-token", "", "Atza|#a1B2*16;", ["Atza|#a1B2*14;a1B", "xAtza|#a1B2*16;"]),
    ("amazon-login-refresh-token", "", "Atzr|#a1B2*16;", ["Atzr|#a1B2*14;a1B", "xAtzr|#a1B2*16;"]),
    ("amazon-mws-token", "", "amzn.mws.#0a1b*2;-#0a1b*1;-#0a1b*1;-#0a1b*1;-#0a1b*3;", ["amzn.mws.#0a1b*2;-#0a1b*1;-#0a1b*1;-#0a1b*1;-#0a1b*2;0a1", "xamzn.mws.#0a1b*2;-#0a1b*1;-#0a1b*1;-#0a1b*1;-#0a1b*3;"]),
    ("google-api-key", "", "AIza#a1B2*8;a1B", ["AIza#a1B2*8;a1", "xAIza#a1B2*8;a1B"]),
    ("google-access-token", "", "ya29.#a1B2*6;", ["ya29.#a1B2*4;a1B", "xya29.#a1B2*6;"]),
    ("google-client-secret", "", "GOCSPX-#a1B2*6;", ["GOCSPX-#a1B2*4;a1B", "xGOCSPX-#a1B2*6;"]),
    ("google-refresh-token", "", "1//0#a1B2*11;", ["1//0#a1B2*9;a1B", "x1//0#a1B2*11;"]),
    ("google-authorization-code", "", "4/0A#a1B2*11;", ["4/0A#a1B2*9;a1B", "x4/0A#a1B2*11;"]),
    ("entra-client-secret", "", "a1B0Q~#a1B2*7;a1B", ["a1B0Q~#a1B2*7;a1", "a1B0Q!#a1B2*7;a1B"]),
    ("digitalocean-personal-token", "", "dop_v1_#0a1b*16;", ["dop_v1_#0a1b*15;0a1", "xdop_v1_#0a1b*16;"]),
    ("digitalocean-oauth-token", "", "doo_v1_#0a1b*16;", ["doo_v1_#0a1b*15;0a1", "xdoo_v1_#0a1b*16;"]),
    ("digitalocean-refresh-token", "", "dor_v1_#0a1b*16;", ["dor_v1_#0a1b*15;0a1", "xdor_v1_#0a1b*16;"]),
    ("cloudflare-origin-ca-key", "", "v1.0-#0a1b*6;-#0a1b*36;0a", ["v1.0-#0a1b*6;-#0a1b*36;0", "xv1.0-#0a1b*6;-#0a1b*36;0a"]),
    ("heroku-api-key", "", "HRKU-#a1B2*10;", ["HRKU-#a1B2*8;a1B", "xHRKU-#a1B2*10;"]),
    ("fly-access-token", "", "fo1_#a1B2*11;", ["fo1_#a1B2*9;a1B", "xfo1_#a1B2*11;"]),
    ("fly-macaroon", "", "fm2_#a1B2*16;", ["fm2_#a1B2*14;a1B", "xfm2_#a1B2*16;"]),
    ("fly-macaroon-1", "", "fm1r_#a1B2*16;", ["fm1r_#a1B2*14;a1B", "xfm1r_#a1B2*16;"]),
    ("fly-macaroon-1a", "", "fm1a_#a1B2*16;", ["fm1a_#a1B2*14;a1B", "xfm1a_#a1B2*16;"]),
    ("netlify-personal-token", "", "nfp_#a1B2*10;", ["nfp_#a1B2*8;a1B", "xnfp_#a1B2*10;"]),
    ("vercel-blob-token", "", "vercel_blob_rw_#a1B2*4;_#a1B2*7;", ["vercel_blob_rw_#a1B2*3;_#a1B2*5;a1B", "xvercel_blob_rw_#a1B2*4;_#a1B2*7;"]),
    ("render-api-key", "", "rnd_#a1B2*8;", ["rnd_#a1B2*6;a1B", "xrnd_#a1B2*8;"]),
    ("scalingo-api-token", "", "tk-us-#a1B2*12;", ["tk-us-#a1B2*11;a1B", "xtk-us-#a1B2*12;"]),
    ("yandex-api-key", "", "AQVN#a1B2*8;a1B", ["AQVN#a1B2*8;a1", "xAQVN#a1B2*8;a1B"]),
    ("yandex-iam-token", "", "t1.#a1B2*6;.#a1B2*21;a1", ["t1.#a1B2*5;.#a1B2*21;a", "xt1.#a1B2*6;.#a1B2*21;a1"]),
    ("yandex-oauth-token", "", "y0_#a1B2*13;a1", ["y0_#a1B2*12;a", "xy0_#a1B2*13;a1"]),
    ("terraform-cloud-token", "", "#a1B2*3;a1.atlasv1.#a1B2*16;", ["#a1B2*3;a1.atlasv1.#a1B2*14;a1B", "#a1B2*3;a1.atlasv1!#a1B2*16;"]),
    ("vault-service-token", "", "hvs.#a1B2*6;", ["hvs.#a1B2*4;a1B", "xhvs.#a1B2*6;"]),
    ("vault-batch-token", "", "hvb.#a1B2*6;", ["hvb.#a1B2*4;a1B", "xhvb.#a1B2*6;"]),
    ("vault-recovery-token", "", "hvr.#a1B2*6;", ["hvr.#a1B2*4;a1B", "xhvr.#a1B2*6;"]),
    ("doppler-personal-token", "", "dp.pt.#a1B2*11;", ["dp.pt.#a1B2*9;a1B", "xdp.pt.#a1B2*11;"]),
    ("doppler-cli-token", "", "dp.ct.#a1B2*11;", ["dp.ct.#a1B2*9;a1B", "xdp.ct.#a1B2*11;"]),
    ("doppler-service-token", "", "dp.st.#a1B2*11;", ["dp.st.#a1B2*9;a1B", "xdp.st.#a1B2*11;"]),
    ("doppler-service-account-token", "", "dp.sa.#a1B2*11;", ["dp.sa.#a1B2*9;a1B", "xdp.sa.#a1B2*11;"]),
    ("doppler-scim-token", "", "dp.scim.#a1B2*11;", ["dp.scim.#a1B2*9;a1B", "xdp.scim.#a1B2*11;"]),
    ("doppler-audit-token", "", "dp.audit.#a1B2*11;", ["dp.audit.#a1B2*9;a1B", "xdp.audit.#a1B2*11;"]),
    ("1password-service-account-token", "", "ops_eyJ#a1B2*26;", ["ops_eyJ#a1B2*24;a1B", "xops_eyJ#a1B2*26;"]),
    ("1password-secret-key", "", "A3-#A1B2*1;A1-#A1B2*1;A1-#A1B2*1;A-#A1B2*1;A-#A1B2*1;A-#A1B2*1;A", ["A3-#A1B2*1;A1-#A1B2*1;A1-#A1B2*1;A-#A1B2*1;A-#A1B2*1;A-#A1B2*1;", "xA3-#A1B2*1;A1-#A1B2*1;A1-#A1B2*1;A-#A1B2*1;A-#A1B2*1;A-#A1B2*1;A"]),
    ("openshift-token", "", "sha256~#a1B2*10;a1B", ["sha256~#a1B2*10;a1", "xsha256~#a1B2*10;a1B"]),
    ("k3s-token", "", "K10#0a1b*16;::a:#a1B2*5;", ["K10#0a1b*16;::a:#a1B2*3;a1B", "xK10#0a1b*16;::a:#a1B2*5;"]),
    ("rancher-token", "", "token-#a1b2*1;a:#a1b2*13;a1", ["token-#a1b2*1;a:#a1b2*13;a", "xtoken-#a1b2*1;a:#a1b2*13;a1"]),
    ("tailscale-auth-key", "", "tskey-auth-#a1B2*2;-#a1B2*5;", ["tskey-auth-#a1B2*1;a1-#a1B2*3;a1B", "xtskey-auth-#a1B2*2;-#a1B2*5;"]),
    ("tailscale-api-key", "", "tskey-api-#a1B2*2;-#a1B2*5;", ["tskey-api-#a1B2*1;a1-#a1B2*3;a1B", "xtskey-api-#a1B2*2;-#a1B2*5;"]),
    ("tailscale-client-secret", "", "tskey-client-#a1B2*2;-#a1B2*5;", ["tskey-client-#a1B2*1;a1-#a1B2*3;a1B", "xtskey-client-#a1B2*2;-#a1B2*5;"]),
    ("tailscale-scim-key", "", "tskey-scim-#a1B2*2;-#a1B2*5;", ["tskey-scim-#a1B2*1;a1-#a1B2*3;a1B", "xtskey-scim-#a1B2*2;-#a1B2*5;"]),
    ("tailscale-webhook-key", "", "tskey-webhook-#a1B2*2;-#a1B2*5;", ["tskey-webhook-#a1B2*1;a1-#a1B2*3;a1B", "xtskey-webhook-#a1B2*2;-#a1B2*5;"]),
    ("defined-networking-key", "", "dnkey-#a1B2*16;", ["dnkey-#a1B2*14;a1B", "xdnkey-#a1B2*16;"]),
    ("akamai-edgegrid-token", "", "akab-#a1b2*4;-#a1b2*4;", ["akab-#a1b2*4;-#a1b2*3;a1b", "xakab-#a1b2*4;-#a1b2*4;"]),
    ("supabase-personal-token", "", "sbp_#0a1b*10;", ["sbp_#0a1b*9;0a1", "xsbp_#0a1b*10;"]),
    ("supabase-secret-key", "", "sb_secret_#a1B2*7;", ["sb_secret_#a1B2*5;a1B", "xsb_secret_#a1B2*7;"]),
    ("planetscale-token", "", "pscale_tkn_#a1B2*9;", ["pscale_tkn_#a1B2*7;a1B", "xpscale_tkn_#a1B2*9;"]),
    ("planetscale-password", "", "pscale_pw_#a1B2*9;", ["pscale_pw_#a1B2*7;a1B", "xpscale_pw_#a1B2*9;"]),
    ("planetscale-oauth-token", "", "pscale_oauth_#a1B2*9;", ["pscale_oauth_#a1B2*7;a1B", "xpscale_oauth_#a1B2*9;"]),
    ("neon-api-key", "", "napi_#a1b2*16;", ["napi_#a1b2*14;a1b", "xnapi_#a1b2*16;"]),
    ("mongodb-atlas-service-secret", "", "mdb_sa_sk_#a1B2*10;", ["mdb_sa_sk_#a1B2*9;a1B", "xmdb_sa_sk_#a1B2*10;"]),
    ("databricks-token", "", "dapi#0a1b*8;", ["dapi#0a1b*7;0a1", "xdapi#0a1b*8;"]),
    ("databricks-oauth-secret", "", "dose#0a1b*8;", ["dose#0a1b*7;0a1", "xdose#0a1b*8;"]),
    ("elastic-cloud-api-key", "", "essu_#a1B2*11;", ["essu_#a1B2*9;a1B", "xessu_#a1B2*11;"]),
    ("contentful-management-token", "", "CFPAT-#a1B2*10;a1B", ["CFPAT-#a1B2*10;a1", "xCFPAT-#a1B2*10;a1B"]),
    ("prefect-api-key", "", "pnu_#a1B2*9;", ["pnu_#a1B2*8;a1B", "xpnu_#a1B2*9;"]),
    ("prefect-bot-key", "", "pnb_#a1B2*9;", ["pnb_#a1B2*8;a1B", "xpnb_#a1B2*9;"]),
    ("grafana-service-account-token", "", "glsa_#a1B2*8;_#0a1b*2;", ["glsa_#a1B2*8;_#0a1b*1;0a1", "xglsa_#a1B2*8;_#0a1b*2;"]),
    ("grafana-cloud-token", "", "glc_#a1B2*9;", ["glc_#a1B2*7;a1B", "xglc_#a1B2*9;"]),
    ("grafana-api-key", "", "eyJrIjoi#a1B2*11;", ["eyJrIjoi#a1B2*9;a1B", "xeyJrIjoi#a1B2*11;"]),
    ("sentry-organization-token", "", "sntrys_#a1B2*11;", ["sntrys_#a1B2*9;a1B", "xsntrys_#a1B2*11;"]),
    ("sentry-user-token", "", "sntryu_#0a1b*16;", ["sntryu_#0a1b*14;0a1", "xsntryu_#0a1b*16;"]),
    ("sentry-integration-token", "", "sntryi_#0a1b*16;", ["sntryi_#0a1b*14;0a1", "xsntryi_#0a1b*16;"]),
    ("dynatrace-access-token", "", "dt0c01.#A1B2*6;.#A1B2*16;", ["dt0c01.#A1B2*6;.#A1B2*15;A1B", "xdt0c01.#A1B2*6;.#A1B2*16;"]),
    ("dynatrace-platform-token", "", "dt0s16.#A1B2*2;.#A1B2*16;", ["dt0s16.#A1B2*2;.#A1B2*15;A1B", "xdt0s16.#A1B2*2;.#A1B2*16;"]),
    ("dynatrace-oauth-secret", "", "dt0s02.#A1B2*2;.#A1B2*16;", ["dt0s02.#A1B2*2;.#A1B2*15;A1B", "xdt0s02.#A1B2*2;.#A1B2*16;"]),
    ("new-relic-user-key", "", "NRAK-#A1B2*6;A1B", ["NRAK-#A1B2*6;A1", "xNRAK-#A1B2*6;A1B"]),
    ("new-relic-insert-key", "", "NRII-#a1B2*8;", ["NRII-#a1B2*7;a1B", "xNRII-#a1B2*8;"]),
    ("new-relic-query-key", "", "NRIQ-#a1B2*8;", ["NRIQ-#a1B2*7;a1B", "xNRIQ-#a1B2*8;"]),
    ("honeycomb-ingest-key", "", "hcaik_#a1b2*13;a1", ["hcaik_#a1b2*12;a", "xhcaik_#a1b2*13;a1"]),
    ("honeycomb-ingest-key-x", "", "hcxik_#a1b2*13;a1", ["hcxik_#a1b2*12;a", "xhcxik_#a1b2*13;a1"]),
    ("honeycomb-management-key", "", "hcamk_#a1b2*6;a1:#a1b2*8;", ["hcamk_#a1b2*6;a1:#a1b2*7;a1b", "xhcamk_#a1b2*6;a1:#a1b2*8;"]),
    ("honeycomb-management-key-x", "", "hcxmk_#a1b2*6;a1:#a1b2*8;", ["hcxmk_#a1b2*6;a1:#a1b2*7;a1b", "xhcxmk_#a1b2*6;a1:#a1b2*8;"]),
    ("axiom-api-token", "", "xaat-#0a1b*2;-#0a1b*1;-#0a1b*1;-#0a1b*1;-#0a1b*3;", ["xaat-#0a1b*2;-#0a1b*1;-#0a1b*1;-#0a1b*1;-#0a1b*2;0a1", "xxaat-#0a1b*2;-#0a1b*1;-#0a1b*1;-#0a1b*1;-#0a1b*3;"]),
    ("axiom-personal-token", "", "xapt-#0a1b*2;-#0a1b*1;-#0a1b*1;-#0a1b*1;-#0a1b*3;", ["xapt-#0a1b*2;-#0a1b*1;-#0a1b*1;-#0a1b*1;-#0a1b*2;0a1", "xxapt-#0a1b*2;-#0a1b*1;-#0a1b*1;-#0a1b*1;-#0a1b*3;"]),
    ("posthog-personal-key", "", "phx_#a1B2*11;", ["phx_#a1B2*9;a1B", "xphx_#a1B2*11;"]),
    ("rootly-api-key", "", "rootly_#0a1b*16;", ["rootly_#0a1b*15;0a1", "xrootly_#0a1b*16;"]),
    ("slack-bot-token", "", "xoxb-#a1B2*4;", ["xoxb-#a1B2*2;a1B", "xxoxb-#a1B2*4;"]),
    ("slack-user-token", "", "xoxp-#a1B2*4;", ["xoxp-#a1B2*2;a1B", "xxoxp-#a1B2*4;"]),
    ("slack-workspace-token", "", "xoxa-#a1B2*4;", ["xoxa-#a1B2*2;a1B", "xxoxa-#a1B2*4;"]),
    ("slack-legacy-refresh-token", "", "xoxr-#a1B2*4;", ["xoxr-#a1B2*2;a1B", "xxoxr-#a1B2*4;"]),
    ("slack-legacy-session-token", "", "xoxs-#a1B2*4;", ["xoxs-#a1B2*2;a1B", "xxoxs-#a1B2*4;"]),
    ("slack-legacy-bot-token", "", "xoxo-#a1B2*4;", ["xoxo-#a1B2*2;a1B", "xxoxo-#a1B2*4;"]),
    ("slack-client-token", "", "xoxc-#a1B2*4;", ["xoxc-#a1B2*2;a1B", "xxoxc-#a1B2*4;"]),
    ("slack-session-cookie", "", "xoxd-#a1B2*4;", ["xoxd-#a1B2*2;a1B", "xxoxd-#a1B2*4;"]),
    ("slack-refresh-token", "", "xoxe-#a1B2*4;", ["xoxe-#a1B2*2;a1B", "xxoxe-#a1B2*4;"]),
    ("slack-configuration-token", "", "xoxe.xox#p*1;-#a1B2*4;", ["xoxe.xox#p*1;-#a1B2*2;a1B", "xxoxe.xox#p*1;-#a1B2*4;"]),
    ("slack-app-token", "", "xapp-#a1B2*4;", ["xapp-#a1B2*2;a1B", "xxapp-#a1B2*4;"]),
    ("slack-workflow-token", "", "xwfp-#a1B2*4;", ["xwfp-#a1B2*2;a1B", "xxwfp-#a1B2*4;"]),
    ("slack-webhook", "hooks.slack.com/services/", "#a1B2*6;", ["hooks.slack.com/services/#a1B2*4;a1B", "xhooks.slack.com/services/#a1B2*6;"]),
    ("slack-workflow-webhook", "hooks.slack.com/workflows/", "#a1B2*6;", ["hooks.slack.com/workflows/#a1B2*4;a1B", "xhooks.slack.com/workflows/#a1B2*6;"]),
    ("slack-trigger-webhook", "hooks.slack.com/triggers/", "#a1B2*6;", ["hooks.slack.com/triggers/#a1B2*4;a1B", "xhooks.slack.com/triggers/#a1B2*6;"]),
    ("discord-webhook", "/webhooks/#0123456789*1;01234/", "#a1B2*11;", ["/webhooks/#0123456789*1;01234/#a1B2*9;a1B", "/webhooks!#0123456789*1;01234/#a1B2*11;"]),
    ("teams-webhook", ".webhook.office.com/webhookb2/", "#a1B2*10;", [".webhook.office.com/webhookb2/#a1B2*8;a1B", ".webhook.office.com/webhookb2!#a1B2*10;"]),
    ("office-webhook", "outlook.office.com/webhook/", "#a1B2*10;", ["outlook.office.com/webhook/#a1B2*8;a1B", "xoutlook.office.com/webhook/#a1B2*10;"]),
    ("google-chat-webhook", "chat.googleapis.com/v1/spaces/a1B/messages?key=", "#a1B2*6;&token=#a1B2*5;", ["chat.googleapis.com/v1/spaces/a/messages?key=#a1B2*5;&token=#a1B2*3;a1B", "xchat.googleapis.com/v1/spaces/a1B/messages?key=#a1B2*6;&token=#a1B2*5;"]),
    ("zapier-webhook", "hooks.zapier.com/hooks/catch/012/", "#a1b2*1;a1b", ["hooks.zapier.com/hooks/catch/0/#a1b2*1;", "xhooks.zapier.com/hooks/catch/012/#a1b2*1;a1b"]),
    ("feishu-webhook", "open.feishu.cn/open-apis/bot/v2/hook/", "#a1B2*6;", ["open.feishu.cn/open-apis/bot/v2/hook/#a1B2*4;a1B", "xopen.feishu.cn/open-apis/bot/v2/hook/#a1B2*6;"]),
    ("lark-webhook", "open.larksuite.com/open-apis/bot/v2/hook/", "#a1B2*6;", ["open.larksuite.com/open-apis/bot/v2/hook/#a1B2*4;a1B", "xopen.larksuite.com/open-apis/bot/v2/hook/#a1B2*6;"]),
    ("dingtalk-webhook", "oapi.dingtalk.com/robot/send?access_token=", "#0a1b*11;", ["oapi.dingtalk.com/robot/send?access_token=#0a1b*9;0a1", "xoapi.dingtalk.com/robot/send?access_token=#0a1b*11;"]),
    ("wecom-webhook", "qyapi.weixin.qq.com/cgi-bin/webhook/send?key=", "#a1B2*6;", ["qyapi.weixin.qq.com/cgi-bin/webhook/send?key=#a1B2*4;a1B", "xqyapi.weixin.qq.com/cgi-bin/webhook/send?key=#a1B2*6;"]),
    ("telegram-bot-token", "", "01234567:AA#a1B2*7;a1", ["01234567:AA#a1B2*7;a", "01234567:A!#a1B2*7;a1"]),
    ("sendgrid-api-key", "", "SG.#a1B2*5;.#a1B2*5;", ["SG.#a1B2*4;.#a1B2*3;a1B", "xSG.#a1B2*5;.#a1B2*5;"]),
    ("mailgun-api-key", "", "key-#0a1b*8;", ["key-#0a1b*7;0a1", "xkey-#0a1b*8;"]),
    ("mailchimp-api-key", "", "#0a1b*8;-us0", ["#0a1b*8;-us", "#0a1b*8;-u!0"]),
    ("brevo-api-key", "", "xkeysib-#0a1b*16;-#a1B2*4;", ["xkeysib-#0a1b*16;-#a1B2*3;a1B", "xxkeysib-#0a1b*16;-#a1B2*4;"]),
    ("brevo-smtp-key", "", "xsmtpsib-#0a1b*16;-#a1B2*4;", ["xsmtpsib-#0a1b*16;-#a1B2*3;a1B", "xxsmtpsib-#0a1b*16;-#a1B2*4;"]),
    ("resend-api-key", "", "re_#a1B2*2;_#a1B2*6;", ["re_#a1B2*2;_#a1B2*4;a1B", "xre_#a1B2*2;_#a1B2*6;"]),
    ("intercom-access-token", "", "dG9rO#a1B2*11;", ["dG9rO#a1B2*9;a1B", "xdG9rO#a1B2*11;"]),
    ("onesignal-api-key", "", "os_v2_#ab*1;a_#a1b2*21;", ["os_v2_#ab*1;a_#a1b2*19;a1b", "xos_v2_#ab*1;a_#a1b2*21;"]),
    ("stripe-secret-key", "", "sk_live_#a1B2*5;", ["sk_live_#a1B2*3;a1B", "xsk_live_#a1B2*5;"]),
    ("stripe-test-secret-key", "", "sk_test_#a1B2*5;", ["sk_test_#a1B2*3;a1B", "xsk_test_#a1B2*5;"]),
    ("stripe-restricted-key", "", "rk_live_#a1B2*5;", ["rk_live_#a1B2*3;a1B", "xrk_live_#a1B2*5;"]),
    ("stripe-test-restricted-key", "", "rk_test_#a1B2*5;", ["rk_test_#a1B2*3;a1B", "xrk_test_#a1B2*5;"]),
    ("stripe-webhook-secret", "", "whsec_#a1B2*5;", ["whsec_#a1B2*3;a1B", "xwhsec_#a1B2*5;"]),
    ("square-access-token", "", "EAAA#a1B2*15;", ["EAAA#a1B2*13;a1B", "xEAAA#a1B2*15;"]),
    ("square-legacy-token", "", "sq0atp-#a1B2*5;a1", ["sq0atp-#a1B2*5;a", "xsq0atp-#a1B2*5;a1"]),
    ("square-application-secret", "", "sq0csp-#a1B2*10;a1B", ["sq0csp-#a1B2*10;a1", "xsq0csp-#a1B2*10;a1B"]),
    ("facebook-access-token", "", "EAA#a1B2*21;", ["EAA#a1B2*19;a1B", "xEAA#a1B2*21;"]),
    ("shopify-access-token", "", "shpat_#0aB1*8;", ["shpat_#0aB1*7;0aB", "xshpat_#0aB1*8;"]),
    ("shopify-app-secret", "", "shpss_#0aB1*8;", ["shpss_#0aB1*7;0aB", "xshpss_#0aB1*8;"]),
    ("shopify-custom-app-token", "", "shpca_#0aB1*8;", ["shpca_#0aB1*7;0aB", "xshpca_#0aB1*8;"]),
    ("shopify-private-app-token", "", "shppa_#0aB1*8;", ["shppa_#0aB1*7;0aB", "xshppa_#0aB1*8;"]),
    ("braintree-access-token", "", "access_token$production$#a1b2*4;$#0a1b*8;", ["access_token$production$#a1b2*4;$#0a1b*7;0a1", "xaccess_token$production$#a1b2*4;$#0a1b*8;"]),
    ("plaid-access-token", "", "access-production-#0a1b*2;-#0a1b*1;-#0a1b*1;-#0a1b*1;-#0a1b*3;", ["access-production-#0a1b*2;-#0a1b*1;-#0a1b*1;-#0a1b*1;-#0a1b*2;0a1", "xaccess-production-#0a1b*2;-#0a1b*1;-#0a1b*1;-#0a1b*1;-#0a1b*3;"]),
    ("plaid-sandbox-token", "", "access-sandbox-#0a1b*2;-#0a1b*1;-#0a1b*1;-#0a1b*1;-#0a1b*3;", ["access-sandbox-#0a1b*2;-#0a1b*1;-#0a1b*1;-#0a1b*1;-#0a1b*2;0a1", "xaccess-sandbox-#0a1b*2;-#0a1b*1;-#0a1b*1;-#0a1b*1;-#0a1b*3;"]),
    ("paddle-api-key", "", "pdl_live_apikey_#a1b2*6;a1_#a1B2*5;a1_a1B", ["pdl_live_apikey_#a1b2*6;a1_#a1B2*5;a1_a1", "xpdl_live_apikey_#a1b2*6;a1_#a1B2*5;a1_a1B"]),
    ("paddle-sandbox-key", "", "pdl_sdbx_apikey_#a1b2*6;a1_#a1B2*5;a1_a1B", ["pdl_sdbx_apikey_#a1b2*6;a1_#a1B2*5;a1_a1", "xpdl_sdbx_apikey_#a1b2*6;a1_#a1B2*5;a1_a1B"]),
    ("flutterwave-secret-key", "", "FLWSECK-#a1b2*8;-X", ["FLWSECK-#a1b2*7;a1b-X", "xFLWSECK-#a1b2*8;-X"]),
    ("flutterwave-test-key", "", "FLWSECK_TEST-#a1B2*4;", ["FLWSECK_TEST-#a1B2*2;a1B", "xFLWSECK_TEST-#a1B2*4;"]),
    ("duffel-live-token", "", "duffel_live_#a1B2*11;", ["duffel_live_#a1B2*9;a1B", "xduffel_live_#a1B2*11;"]),
    ("duffel-test-token", "", "duffel_test_#a1B2*11;", ["duffel_test_#a1B2*9;a1B", "xduffel_test_#a1B2*11;"]),
    ("easypost-api-key", "", "EZAK#a1B2*13;a1", ["EZAK#a1B2*13;a", "xEZAK#a1B2*13;a1"]),
    ("easypost-test-key", "", "EZTK#a1B2*13;a1", ["EZTK#a1B2*13;a", "xEZTK#a1B2*13;a1"]),
    ("shippo-live-token", "", "shippo_live_#0a1b*10;", ["shippo_live_#0a1b*9;0a1", "xshippo_live_#0a1b*10;"]),
    ("shippo-test-token", "", "shippo_test_#0a1b*10;", ["shippo_test_#0a1b*9;0a1", "xshippo_test_#0a1b*10;"]),
    ("openai-project-key", "", "sk-proj-#a1B2*6;", ["sk-proj-#a1B2*4;a1B", "xsk-proj-#a1B2*6;"]),
    ("openai-service-account-key", "", "sk-svcacct-#a1B2*6;", ["sk-svcacct-#a1B2*4;a1B", "xsk-svcacct-#a1B2*6;"]),
    ("openai-admin-key", "", "sk-admin-#a1B2*11;", ["sk-admin-#a1B2*9;a1B", "xsk-admin-#a1B2*11;"]),
    ("openai-api-key", "", "sk-#a1B2*9;", ["sk-#a1B2*7;a1B", "xsk-#a1B2*9;"]),
    ("anthropic-api-key", "", "sk-ant-a1b-#a1B2*6;", ["sk-ant-a1b-#a1B2*4;a1B", "xsk-ant-a1b-#a1B2*6;"]),
    ("openrouter-api-key", "", "sk-or-v1-#0a1b*16;", ["sk-or-v1-#0a1b*15;0a1", "xsk-or-v1-#0a1b*16;"]),
    ("langfuse-secret-key", "", "sk-lf-#0a1b*2;-#0a1b*1;-#0a1b*1;-#0a1b*1;-#0a1b*3;", ["sk-lf-#0a1b*2;-#0a1b*1;-#0a1b*1;-#0a1b*1;-#0a1b*2;0a1", "xsk-lf-#0a1b*2;-#0a1b*1;-#0a1b*1;-#0a1b*1;-#0a1b*3;"]),
    ("langsmith-personal-token", "", "lsv2_pt_#0a1b*8;_#0a1b*2;0a", ["lsv2_pt_#0a1b*8;_#0a1b*2;0", "xlsv2_pt_#0a1b*8;_#0a1b*2;0a"]),
    ("langsmith-service-key", "", "lsv2_sk_#0a1b*8;_#0a1b*2;0a", ["lsv2_sk_#0a1b*8;_#0a1b*2;0", "xlsv2_sk_#0a1b*8;_#0a1b*2;0a"]),
    ("hugging-face-token", "", "hf_#a1B2*8;a1", ["hf_#a1B2*7;a", "xhf_#a1B2*8;a1"]),
    ("hugging-face-organization-token", "", "api_org_#a1B2*8;a1", ["api_org_#a1B2*7;a", "xapi_org_#a1B2*8;a1"]),
    ("groq-api-key", "", "gsk_#a1B2*11;", ["gsk_#a1B2*9;a1B", "xgsk_#a1B2*11;"]),
    ("xai-api-key", "", "xai-#a1B2*16;", ["xai-#a1B2*14;a1B", "xxai-#a1B2*16;"]),
    ("perplexity-api-key", "", "pplx-#a1B2*11;", ["pplx-#a1B2*9;a1B", "xpplx-#a1B2*11;"]),
    ("replicate-token", "", "r8_#a1B2*9;a", ["r8_#a1B2*9;", "xr8_#a1B2*9;a"]),
    ("nvidia-api-key", "", "nvapi-#a1B2*11;", ["nvapi-#a1B2*9;a1B", "xnvapi-#a1B2*11;"]),
    ("pinecone-api-key", "", "pcsk_#a1B2*11;", ["pcsk_#a1B2*9;a1B", "xpcsk_#a1B2*11;"]),
    ("tavily-api-key", "", "tvly-#a1B2*6;", ["tvly-#a1B2*4;a1B", "xtvly-#a1B2*6;"]),
    ("notion-token", "", "ntn_#a1B2*11;", ["ntn_#a1B2*9;a1B", "xntn_#a1B2*11;"]),
    ("notion-secret", "", "secret_#a1B2*10;a1B", ["secret_#a1B2*10;a1", "xsecret_#a1B2*10;a1B"]),
    ("linear-api-key", "", "lin_api_#a1B2*8;a1", ["lin_api_#a1B2*7;a", "xlin_api_#a1B2*8;a1"]),
    ("linear-oauth-token", "", "lin_oauth_#0a1b*16;", ["lin_oauth_#0a1b*14;0a1", "xlin_oauth_#0a1b*16;"]),
    ("figma-token", "", "figd_#a1B2*10;", ["figd_#a1B2*8;a1B", "xfigd_#a1B2*10;"]),
    ("clickup-personal-token", "", "pk_0123_#A1B2*8;", ["pk_0123_#A1B2*7;A1B", "xpk_0123_#A1B2*8;"]),
    ("dropbox-access-token", "", "sl.#a1B2*26;", ["sl.#a1B2*24;a1B", "xsl.#a1B2*26;"]),
    ("hubspot-private-app-token", "", "pat-#ab*1;0-#0a1b*2;-#0a1b*1;-#0a1b*1;-#0a1b*1;-#0a1b*3;", ["pat-#ab*1;0-#0a1b*2;-#0a1b*1;-#0a1b*1;-#0a1b*1;-#0a1b*2;0a1", "xpat-#ab*1;0-#0a1b*2;-#0a1b*1;-#0a1b*1;-#0a1b*1;-#0a1b*3;"]),
    ("typeform-token", "", "tfp_#a1B2*11;", ["tfp_#a1B2*9;a1B", "xtfp_#a1B2*11;"]),
    ("postman-api-key", "", "PMAK-#0a1b*6;-#0a1b*8;0a", ["PMAK-#0a1b*6;-#0a1b*8;0", "xPMAK-#0a1b*6;-#0a1b*8;0a"]),
    ("postman-collection-key", "", "PMAT-#A1B2*6;A1", ["PMAT-#A1B2*6;A", "xPMAT-#A1B2*6;A1"]),
    ("readme-api-key", "", "rdme_#a1b2*16;", ["rdme_#a1b2*14;a1b", "xrdme_#a1b2*16;"]),
    ("mapbox-secret-token", "", "sk.eyJ#a1B2*6;.#a1B2*6;", ["sk.eyJ#a1B2*5;.#a1B2*4;a1B", "xsk.eyJ#a1B2*6;.#a1B2*6;"]),
    ("mapbox-temporary-token", "", "tk.eyJ#a1B2*6;.#a1B2*6;", ["tk.eyJ#a1B2*5;.#a1B2*4;a1B", "xtk.eyJ#a1B2*6;.#a1B2*6;"]),
    ("maxmind-license-key", "", "#a1B2*1;a1_#a1B2*7;a_mmk", ["#a1B2*1;a1_#a1B2*7;_mmk", "#a1B2*1;a1_#a1B2*7;a_mm!"]),
    ("launchdarkly-sdk-key", "", "sdk-#0a1b*2;-#0a1b*1;-#0a1b*1;-#0a1b*1;-#0a1b*3;", ["sdk-#0a1b*2;-#0a1b*1;-#0a1b*1;-#0a1b*1;-#0a1b*2;0a1", "xsdk-#0a1b*2;-#0a1b*1;-#0a1b*1;-#0a1b*1;-#0a1b*3;"]),
    ("salesforce-session-id", "", "00D#a1B2*2;a!#a1B2*16;", ["00D#a1B2*2;a!#a1B2*14;a1B", "x00D#a1B2*2;a!#a1B2*16;"]),
    ("linkedin-client-secret", "", "WPL_AP1.#a1B2*3;.#a1B2*1;a1", ["WPL_AP1.#a1B2*2;.a1B", "xWPL_AP1.#a1B2*3;.#a1B2*1;a1"]),
    ("frame-io-token", "", "fio-u-#a1B2*16;", ["fio-u-#a1B2*14;a1B", "xfio-u-#a1B2*16;"]),
    ("adobe-client-secret", "", "p8e-#a1B2*8;", ["p8e-#a1B2*7;a1B", "xp8e-#a1B2*8;"]),
    ("stytch-secret", "", "secret-live-#a1B2*8;a1", ["secret-live-#a1B2*7;a", "xsecret-live-#a1B2*8;a1"]),
    ("stytch-test-secret", "", "secret-test-#a1B2*8;a1", ["secret-test-#a1B2*7;a", "xsecret-test-#a1B2*8;a1"]),
    ("ory-api-key", "", "ory_pat_#a1B2*7;", ["ory_pat_#a1B2*5;a1B", "xory_pat_#a1B2*7;"]),
    ("ory-session-token", "", "ory_st_#a1B2*7;", ["ory_st_#a1B2*5;a1B", "xory_st_#a1B2*7;"]),
    ("ory-access-token", "", "ory_at_#a1B2*7;", ["ory_at_#a1B2*5;a1B", "xory_at_#a1B2*7;"]),
    ("ory-refresh-token", "", "ory_rt_#a1B2*7;", ["ory_rt_#a1B2*5;a1B", "xory_rt_#a1B2*7;"]),
    ("ory-authorization-code", "", "ory_ac_#a1B2*7;", ["ory_ac_#a1B2*5;a1B", "xory_ac_#a1B2*7;"]),
];

/// The text of an example with its repetitions written out.
pub(crate) fn spelt(text: &str) -> String {
    let mut parts = text.split('#');
    let mut spelt = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (piece, rest) = part.split_once('*').unwrap();
        let (count, rest) = rest.split_once(';').unwrap();
        spelt += &piece.repeat(count.parse().unwrap());
        spelt += rest;
    }
    spelt
}

fn found(text: &str, cut: bool) -> Vec<(&'static str, &str)> {
    let mut found = Vec::new();
    TokenFormats::shared().find(text, cut, &mut |place, id| found.push((id, &text[place])));
    found
}

fn all() -> impl Iterator<Item = &'static TokenFormat> {
    TokenFormats::shared().words.iter().chain(&TokenFormats::shared().signs)
}

#[test]
fn every_format_has_an_example_and_near_misses_show() {
    let examples: HashSet<_> = EXAMPLES.iter().map(|(id, ..)| *id).collect();
    let ids: HashSet<_> = TABLE.iter().map(|(id, ..)| *id).collect();
    assert_eq!(examples, ids);
    assert_eq!((EXAMPLES.len(), TABLE.len()), (ids.len(), ids.len()), "an id is used twice");
    assert!(TABLE.len() >= 120);
    for (id, before, secret, misses) in EXAMPLES {
        let (before, secret) = (spelt(before), spelt(secret));
        for text in [
            format!("{before}{secret}"),
            format!("the key \"{before}{secret}\" is refused"),
            format!("a={before}{secret}&b=c"),
            format!("({before}{secret}). É"),
            format!("with {before}{secret}. And"),
            format!("é{before}{secret}é"),
        ] {
            assert_eq!(found(&text, false), [(*id, secret.as_str())], "{text}");
        }
        for miss in misses {
            let miss = spelt(miss);
            let hits = found(&miss, false);
            assert!(!hits.iter().any(|(hit, _)| hit == id), "{id}: {miss}");
        }
    }
}

#[test]
fn every_row_says_what_it_must() {
    for (id, keyword, pattern, source) in TABLE {
        assert!(id.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-')), "{id}");
        assert!(pattern.contains(keyword) && !source.is_empty(), "{id}");
        assert!(Pattern::parse(keyword, pattern, &mut Vec::new()).is_some(), "{id}: {pattern}");
    }
    for format in all() {
        assert!(format.min_len() >= 14, "{} is too short to give itself away", format.id());
    }
}

#[test]
fn a_token_that_a_cut_went_through_is_found() {
    for (id, before, secret, _) in EXAMPLES {
        let whole = spelt(before) + &spelt(secret);
        let format = all().find(|format| format.id() == *id).unwrap();
        let keyword = std::str::from_utf8(format.pattern.keyword()).unwrap();
        let least = whole.find(keyword).unwrap() + keyword.len() + 6;
        for len in least.max(spelt(before).len() + 1)..=whole.len() {
            for mark in ["", "…"] {
                let text = format!("the key {}{mark}", &whole[..len]);
                let hits = found(&text, true);
                let secret = &text[text.len() - mark.len() - (len - spelt(before).len())..text.len() - mark.len()];
                let same = |hit: &str| hit.trim_end_matches('.') == secret.trim_end_matches('.');
                assert!(hits.iter().any(|(_, hit)| same(hit)), "{id}: {text}: {hits:?}");
            }
        }
    }
}
