/// The errors of modules by layer and kind of linear.
package struct ErrorGrid: Sendable, Equatable {
  /// The kinds of linears, such as `self_attn.q_proj`, in the order in which a layer applies them; those with
  /// other names follow in the order of their first module.
  package private(set) var kinds: [String] = []
  /// The numbers of the layers, ascending.
  package private(set) var layers: [Int] = []
  /// The errors `[layer][kind]`; the mean where several experts share a place, nil where no module is.
  package private(set) var values: [[Double?]] = []

  /// Arranges errors.
  ///
  /// - Parameters:
  ///   - errors: The errors of modules; those outside of numbered layers are left out.
  ///   - value: The error to show; nil leaves the module out.
  package init(_ errors: [ModuleError], _ value: (ModuleError) -> Double?) {
    let cells = errors.compactMap { error -> (layer: Int, kind: String, value: Double)? in
      guard let layer = Self.layer(of: error.module), let value = value(error) else { return nil }
      return (layer, Self.kind(of: error.module), value)
    }
    layers = Set(cells.map(\.layer)).sorted()
    for cell in cells where !kinds.contains(cell.kind) { kinds.append(cell.kind) }
    // Files have their tensors in the order of names.
    let places = kinds.map(Self.place)
    kinds = kinds.indices.sorted { (places[$0], $0) < (places[$1], $1) }.map { kinds[$0] }
    let rows = Dictionary(uniqueKeysWithValues: layers.enumerated().map { ($1, $0) })
    let columns = Dictionary(uniqueKeysWithValues: kinds.enumerated().map { ($1, $0) })
    var sums = [[(sum: Double, count: Int)]](
      repeating: [(sum: Double, count: Int)](repeating: (0, 0), count: kinds.count), count: layers.count)
    for cell in cells {
      guard let row = rows[cell.layer], let column = columns[cell.kind] else { continue }
      sums[row][column].sum += cell.value
      sums[row][column].count += 1
    }
    values = sums.map { $0.map { $0.count == 0 ? nil : $0.sum / Double($0.count) } }
  }

  /// The smallest and the largest error; nil without any.
  package var range: ClosedRange<Double>? {
    let all = values.flatMap { $0.compactMap(\.self) }
    guard let low = all.min(), let high = all.max() else { return nil }
    return low...high
  }

  /// The mean error of each layer.
  package var layerMeans: [Double] {
    values.map { row in
      let all = row.compactMap(\.self)
      return all.reduce(0, +) / Double(max(all.count, 1))
    }
  }

  /// Returns the number of the layer that a module is in: its first component that is a number.
  package static func layer(of module: String) -> Int? {
    module.split(separator: ".").lazy.compactMap(number).first
  }

  /// Returns the module's name inside its layer, with `*` for further numbers; the whole name outside of one.
  package static func kind(of module: String) -> String {
    let parts = module.split(separator: ".")
    let start = parts.firstIndex { number($0) != nil }.map { $0 + 1 } ?? 0
    let rest = parts[start...].map { number($0) == nil ? String($0) : "*" }.joined(separator: ".")
    return rest.isEmpty ? module : rest
  }

  /// The names of linears in the order in which families apply them.
  private static let applied = [
    "q_proj", "k_proj", "v_proj", "qkv_proj", "query_key_value", "c_attn", "o_proj", "out_proj", "gate_proj",
    "gate_up_proj", "up_proj", "down_proj",
  ]

  /// Returns the place of a kind in a layer, by the last part of its name.
  private static func place(of kind: String) -> Int {
    let name = kind.split(separator: ".").last.map(String.init) ?? kind
    return applied.firstIndex(of: name) ?? applied.count
  }

  private static func number(_ part: Substring) -> Int? {
    part.utf8.allSatisfy { (48...57).contains($0) } ? Int(part) : nil
  }
}
