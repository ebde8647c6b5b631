extension PeftConfiguration {
  /// The text of an `adapter_config.json`.
  ///
  /// - Parameters:
  ///   - adapter: What the tensors mean.
  ///   - columnCounts: The columns of A by module; groups if the adapter is pooled.
  ///   - groupSize: The number of columns per mean, if the adapter is pooled.
  /// - Returns: A JSON document with the keys of PEFT's `LoraConfig`.
  static func text(_ adapter: AdapterParameters, _ columnCounts: [String: Int], groupSize: Int?) -> String {
    let modules = columnCounts.keys.sorted(by: precedes)
    var members: [(String, JSONValue)] = [
      ("peft_type", .string("LORA")), ("task_type", .string("CAUSAL_LM")),
      ("base_model_name_or_path", .null), ("r", .integer(adapter.rank)),
      ("lora_alpha", number(adapter.alpha)), ("lora_dropout", .number("0.0")),
      ("target_modules", .array(modules.map(JSONValue.string))), ("modules_to_save", .null),
      ("bias", .string("none")), ("fan_in_fan_out", .bool(false)), ("use_rslora", .bool(false)),
      ("use_dora", .bool(false)), ("inference_mode", .bool(true)),
    ]
    if let groupSize {
      members += [
        ("use_qalora", .bool(true)), ("qalora_group_size", .integer(groupSize)),
        ("alpha_pattern", alphaPattern(adapter.alpha, modules, columnCounts)),
      ]
    }
    return JSONValue.object(members.map { JSONValue.Member($0.0, $0.1) }).prettyText + "\n"
  }

  /// Alpha by module: PEFT multiplies the mean of a group by the number of groups, so its alpha is ours
  /// divided by it.
  private static func alphaPattern(
    _ alpha: Double, _ modules: [String], _ groupCounts: [String: Int]
  ) -> JSONValue {
    .object(modules.map { JSONValue.Member($0, number(alpha / Double(groupCounts[$0] ?? 1))) })
  }

  private static func number(_ value: Double) -> JSONValue {
    Int(exactly: value).map(JSONValue.integer) ?? .double(value)
  }
}
