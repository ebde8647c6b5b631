extension ConfigurationKeys {
  /// The number of columns of a head that turn with the position.
  ///
  /// - Parameters:
  ///   - name: The key of the share; `rope_parameters` may hold it, too.
  ///   - headSize: The width of a head.
  ///   - share: The share if no key states it.
  /// - Throws: `FormatError` when the share is not a positive number up to 1, or gives an odd number.
  func turnedCount(
    _ name: String = "partial_rotary_factor", headSize: Int, share missing: Double = 1
  ) throws(FormatError) -> Int {
    let inner = ConfigurationKeys(
      json: try optionalObject("rope_parameters") ?? .object([]), path: path,
      prefix: prefix + "rope_parameters.")
    let nested = try inner.optionalNumber("partial_rotary_factor")
    let share = try optionalNumber(name) ?? nested ?? missing
    guard share > 0, share <= 1 else { throw malformed(name, "must be more than 0 and at most 1") }
    let count = Int(Double(headSize) * share)
    guard count > 0, count % 2 == 0 else {
      throw malformed(name, "turns \(count) columns of a head; an even number is needed")
    }
    return count
  }

  /// Whether each layer sees a window instead of the whole context.
  ///
  /// - Parameters:
  ///   - count: The number of layers.
  ///   - rule: Whether a layer has a window if `layer_types` is missing.
  /// - Throws: `FormatError` when `layer_types` has another number of layers or an unknown kind.
  func windowedLayers(_ count: Int, _ rule: (Int) -> Bool) throws(FormatError) -> [Bool] {
    try layers(count, ofKind: "sliding_attention", rule)
  }

  /// Whether each layer is of a kind; all others see the whole context.
  ///
  /// - Parameters:
  ///   - count: The number of layers.
  ///   - kind: The name of the kind in `layer_types`.
  ///   - rule: Whether a layer is of the kind if `layer_types` is missing.
  /// - Throws: `FormatError` when `layer_types` has another number of layers or an unknown kind.
  func layers(
    _ count: Int, ofKind kind: String, _ rule: (Int) -> Bool
  ) throws(FormatError) -> [Bool] {
    let name = "layer_types"
    guard let value = value(name) else { return (0..<count).map(rule) }
    guard let list = value.array, list.count == count else {
      throw malformed(name, "must be a list of \(count) kinds of layers")
    }
    var isOfKind: [Bool] = []
    for item in list {
      switch item.string {
      case kind: isOfKind.append(true)
      case "full_attention": isOfKind.append(false)
      default: throw unsupported(name, "layers of kind \(item.compactText) are not supported")
      }
    }
    return isOfKind
  }

  /// The window of `sliding_window`: nil for null, `missing` if the key is not there.
  ///
  /// - Throws: `FormatError` when it is not a positive number.
  func window(missing: Int?) throws(FormatError) -> Int? {
    guard has("sliding_window") else { return missing }
    return try optionalSize("sliding_window")
  }

  /// The windows of Qwen's layers: only with `use_sliding_window`, from `max_window_layers` on.
  ///
  /// - Throws: `FormatError` with the key.
  func optionalWindows(
    _ count: Int, missingWindow: Int? = nil, firstWindowed: Int = 0
  ) throws(FormatError) -> [Int?] {
    let isUsed = try optionalBool("use_sliding_window") ?? false
    guard isUsed, let window = try window(missing: missingWindow) else {
      return [Int?](repeating: nil, count: count)
    }
    let first: Int
    if has("max_window_layers"), let value = value("max_window_layers") {
      guard let number = value.integer, number >= 0 else {
        throw malformed("max_window_layers", "must be a number of layers")
      }
      first = number
    } else {
      first = firstWindowed
    }
    return try windowedLayers(count) { $0 >= first }.map { $0 ? window : nil }
  }
}

extension AttentionDescription {
  /// The same attention with a window.
  func with(window: Int?) -> AttentionDescription {
    var result = self
    result.window = window
    return result
  }
}
