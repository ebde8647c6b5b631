public import Checkpoints
import Foundation

/// The report of a pass.
///
/// `items` is the only source of its values; the JSON document and the text are made from it.
public protocol PassReport: Sendable {
  /// The values, in their order.
  var items: [ReportItem] { get }
}

/// One value of a report.
public struct ReportItem: Sendable, Equatable {
  /// A value.
  public enum Value: Sendable, Equatable {
    /// A count.
    case integer(Int)
    /// A measure.
    case number(Double)
    /// A word.
    case text(String)
    /// A truth value.
    case flag(Bool)
    /// Several measures; the text shows the one named `loss`, if there is one.
    case group([ReportItem])
    /// A document for programs only.
    case document(JSONValue)
  }

  /// The key in JSON: `relative_error`.
  public let key: String
  /// The value.
  public let value: Value

  /// Names a value.
  public init(_ key: String, _ value: Value) {
    self.key = key
    self.value = value
  }
}

extension PassReport {
  /// The report as an object.
  public var json: JSONValue { items.json }

  /// The report as a phrase: `modules 14, relative error 0.4123`.
  public var text: String { items.compactMap(\.text).joined(separator: ", ") }
}

extension [ReportItem] {
  /// The values as an object.
  package var json: JSONValue { .object(map { JSONValue.Member($0.key, $0.value.json) }) }
}

extension ReportItem {
  /// The value as a phrase; nil for values that are for programs only.
  package var text: String? {
    let name = key.replacing("_", with: " ")
    switch value {
    case .integer(let value): return "\(name) \(value)"
    case .number(let value): return "\(name) \(value.formattedShort)"
    case .text(let text): return "\(name) \(text)"
    case .flag(let value): return value ? name : "not \(name)"
    case .group(let items):
      guard case .number(let loss) = items.first(where: { $0.key == "loss" })?.value else { return nil }
      return "\(name) \(loss.formattedShort)"
    case .document: return nil
    }
  }
}

extension ReportItem.Value {
  fileprivate var json: JSONValue {
    switch self {
    case .integer(let value): .integer(value)
    case .number(let value): .double(value)
    case .text(let text): .string(text)
    case .flag(let value): .bool(value)
    case .group(let items): items.json
    case .document(let document): document
    }
  }
}

/// The report of a step of an earlier run, as recorded in its journal.
struct RecordedReport: PassReport {
  let items: [ReportItem]

  init(items: [ReportItem]) { self.items = items }

  /// Reads what `PassReport.json` wrote.
  init(_ json: JSONValue) { items = (json.object ?? []).map(ReportItem.init) }
}

extension ReportItem {
  fileprivate init(_ member: JSONValue.Member) {
    let value: Value
    switch member.value {
    case .number: value = member.value.integer.map(Value.integer) ?? .number(member.value.double ?? .nan)
    case .string(let text): value = .text(text)
    case .bool(let flag): value = .flag(flag)
    case .object(let members): value = .group(members.map(ReportItem.init))
    case .array, .null: value = .document(member.value)
    }
    self.init(member.key, value)
  }
}
