/// Small tensors of integers that only repeat known facts; they are read when a checkpoint is opened.
extension IntegerModuleReader {
  /// Checks `g_idx` and `weight_shape` of a module, if it has them.
  ///
  /// - Parameters:
  ///   - module: The module.
  ///   - bytes: Gives the bytes of a tensor.
  /// - Throws: `FormatError` when columns are reordered, or a number contradicts the shapes.
  func checkIndices(of module: IntegerModule, _ bytes: (TensorInfo) throws -> TensorBytes) throws {
    let endings = module.layout.endings
    if let groups = tensors[module.name + endings.groupIndex] {
      let found = try integers(of: groups, count: module.inputCount, bytes)
      try check(found, of: groups, module)
    }
    guard let ending = endings.shape else { return }
    guard let shape = tensors[module.name + ending] else {
      throw FormatError(path, .missing("tensor '\(module.name + ending)'"))
    }
    let found = try integers(of: shape, count: 2, bytes)
    guard found == [module.outputCount, module.inputCount] else {
      throw FormatError(
        path, at: "tensor '\(shape.name)' of \(module.bits) bits",
        .malformed("says \(found), the codes are \([module.outputCount, module.inputCount])"))
    }
  }

  private func check(_ groups: [Int], of tensor: TensorInfo, _ module: IntegerModule) throws(FormatError) {
    for (column, group) in groups.enumerated() where group != column / module.groupSize {
      let place = "tensor '\(tensor.name)'"
      guard (0..<module.groupCount).contains(group) else {
        throw FormatError(
          path, at: place, .malformed("column \(column) has group \(group) of \(module.groupCount)"))
      }
      throw FormatError(
        path, at: place,
        .unsupported(
          "columns are reordered by activation: column \(column) has group \(group), not "
            + "\(column / module.groupSize)"))
    }
  }

  private func integers(
    of tensor: TensorInfo, count: Int, _ bytes: (TensorInfo) throws -> TensorBytes
  ) throws -> [Int] {
    guard tensor.shape == [count], tensor.dtype == .i32 || tensor.dtype == .i64 else {
      throw FormatError(
        path, at: "tensor '\(tensor.name)'",
        .malformed("is \(tensor.dtype.rawValue) \(tensor.shape); expected \(count) integers"))
    }
    return try bytes(tensor).withSpan { span in
      (0..<count).map { i in
        tensor.dtype == .i32
          ? Int(span.integer(at: 4 * i, as: Int32.self)) : Int(span.integer(at: 8 * i, as: Int64.self))
      }
    }
  }
}
