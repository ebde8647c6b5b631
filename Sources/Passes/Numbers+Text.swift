import Foundation
import Models

extension Int {
  /// The size in a suitable unit: `12.3 MB`.
  package var formattedBytes: String {
    let units = ["kB", "MB", "GB", "TB"]
    guard self >= 1000 else { return "\(self) B" }
    var value = Double(self) / 1000
    var unit = 0
    while value >= 999.95, unit + 1 < units.count {
      value /= 1000
      unit += 1
    }
    return "\(value.formatted(decimals: 1)) \(units[unit])"
  }

  /// The number with thousands separators: `135,000,000`.
  package var formattedCount: String {
    let digits = Array(String(magnitude))
    var text = self < 0 ? "-" : ""
    for (i, digit) in digits.enumerated() {
      if i > 0, (digits.count - i) % 3 == 0 { text += "," }
      text.append(digit)
    }
    return text
  }
}

extension Double {
  /// Seconds in a suitable unit, to two digits: `40 s`, `12 min`, `3.5 h`, `2.1 days`.
  package var formattedDuration: String {
    if self < 1 { return "1 s" }
    if self < 99.5 { return "\(formatted(decimals: 0)) s" }
    if self < 99.5 * 60 { return "\((self / 60).formatted(decimals: 0)) min" }
    let hours = self / 3600
    return hours < 48 ? "\(hours.formatted(decimals: 1)) h" : "\((hours / 24).formatted(decimals: 1)) days"
  }

  /// The number with four significant digits.
  package var formattedShort: String { String(format: "%.4g", self) }
}
