/// The distribution of tensors to files.
struct SafetensorsShards {
  /// The files in order, each with its tensors.
  private(set) var shards: [(name: String, tensors: [TensorInfo])] = []
  /// The number of the shard of each tensor.
  private(set) var shardByTensor: [String: Int] = [:]

  /// Fills one shard after the other.
  ///
  /// - Parameters:
  ///   - tensors: The tensors in the order in which they are written.
  ///   - byteLimit: The maximum of tensor bytes per shard; a larger tensor gets a shard of its own.
  init(_ tensors: [TensorInfo], byteLimit: Int) {
    var groups: [[TensorInfo]] = [[]]
    var byteCount = 0
    for tensor in tensors {
      if byteCount > 0, tensor.byteCount > byteLimit - byteCount {
        groups.append([])
        byteCount = 0
      }
      shardByTensor[tensor.name] = groups.count - 1
      groups[groups.count - 1].append(tensor)
      byteCount += tensor.byteCount
    }
    for (i, group) in groups.enumerated() { shards.append((Self.name(i, of: groups.count), group)) }
  }

  private static func name(_ i: Int, of count: Int) -> String {
    count == 1 ? SafetensorsFolder.singleName : "model-\(padded(i + 1))-of-\(padded(count)).safetensors"
  }

  private static func padded(_ number: Int) -> String {
    let digits = String(number)
    return String(repeating: "0", count: max(0, 5 - digits.count)) + digits
  }
}
