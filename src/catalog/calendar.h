// Days since 1970-01-01 and dates of the Gregorian calendar, extended in both directions.
#pragma once

#include <cstdint>

namespace vaultgres {

struct CivilDate {
  std::int64_t year;  ///< year 0 is the one before year 1
  unsigned month;     ///< 1 to 12
  unsigned day;       ///< 1 to 31
};

constexpr bool is_leap_year(std::int64_t year) noexcept {
  return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
}

/// Precondition: month is 1 to 12.
constexpr unsigned days_of_month(std::int64_t year, unsigned month) noexcept {
  constexpr unsigned kDays[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
  return month == 2 && is_leap_year(year) ? 29 : kDays[month - 1];
}

// Both count years from March, so that the leap day is the last of its year, in eras of 400 years (Howard Hinnant,
// "chrono-Compatible Low-Level Date Algorithms").
inline constexpr std::int64_t kEraDays = 146097;
inline constexpr std::int64_t kEpochDay = 719468;  // 1970-01-01, from 0000-03-01

/// Precondition: a date; years of up to ten digits.
constexpr std::int64_t days_of_date(const CivilDate& date) noexcept {
  const std::int64_t year = date.year - (date.month <= 2);
  const std::int64_t era = (year >= 0 ? year : year - 399) / 400;
  const std::int64_t year_of_era = year - era * 400;
  const std::int64_t month_from_march = std::int64_t{date.month} + (date.month > 2 ? -3 : 9);
  const std::int64_t day_of_year = (153 * month_from_march + 2) / 5 + date.day - 1;
  const std::int64_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
  return era * kEraDays + day_of_era - kEpochDay;
}

constexpr CivilDate date_of_days(std::int64_t days) noexcept {
  days += kEpochDay;
  const std::int64_t era = (days >= 0 ? days : days - (kEraDays - 1)) / kEraDays;
  const std::int64_t day_of_era = days - era * kEraDays;
  const std::int64_t year_of_era =
      (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / (kEraDays - 1)) / 365;
  const std::int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
  const std::int64_t month_from_march = (5 * day_of_year + 2) / 153;
  const auto day = static_cast<unsigned>(day_of_year - (153 * month_from_march + 2) / 5 + 1);
  const auto month = static_cast<unsigned>(month_from_march < 10 ? month_from_march + 3 : month_from_march - 9);
  return {year_of_era + era * 400 + (month <= 2), month, day};
}

}  // namespace vaultgres
