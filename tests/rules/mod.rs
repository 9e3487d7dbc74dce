//! The rules that always hold, for the parts there are, on one process and on three.

mod evidence;
mod links;
mod privacy;
mod visits;

use crate::support::Composition;

macro_rules! on_both {
    ($($module:ident::$rule:ident),* $(,)?) => {
        mod all_in_one {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $rule() {
                super::$module::$rule(super::Composition::AllInOne).await;
            })*
        }

        mod separate {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $rule() {
                super::$module::$rule(super::Composition::Separate).await;
            })*
        }
    };
}

on_both! {
    visits::rule_01_an_answered_click_survives_and_counts_once,
    visits::rule_01_a_sick_click_log_costs_visitors_nothing_and_is_counted,
    links::rule_02_affiliate_links_need_nothing_and_purchase_links_fall_back,
    links::rule_03_a_redirect_goes_only_where_configured,
    evidence::rule_04_reports_count_once_in_any_order,
    links::rule_05_a_purchase_link_reaches_a_checkout,
    visits::rule_06_a_get_registers_nothing_and_cookies_are_for_humans,
    evidence::rule_07_the_same_evidence_gives_the_same_decision,
    privacy::rule_08_addresses_stay_in_the_registry,
    privacy::rule_09_nobody_is_identified_by_address_or_user_agent,
    evidence::rule_10_unverified_touches_displace_nothing,
}
