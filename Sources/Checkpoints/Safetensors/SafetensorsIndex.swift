/// `model.safetensors.index.json`: which shard holds which tensor.
struct SafetensorsIndex {
  /// The name of the file.
  static let fileName = "model.safetensors.index.json"

  /// The names of the shards, sorted.
  let shardNames: [String]
  private let shardByTensor: [String: String]
  private let path: String

  /// Reads an index.
  ///
  /// - Parameter path: The file.
  /// - Throws: `FormatError` when it is malformed or names a shard outside its folder.
  init(path: String) throws { try self.init(JSONValue(contentsOf: path), path: path) }

  /// Reads the document of an index.
  ///
  /// - Throws: `FormatError` when it is malformed or names a shard outside its folder.
  init(_ document: JSONValue, path: String) throws(FormatError) {
    guard let members = document["weight_map"]?.object else {
      throw FormatError(path, .missing("object 'weight_map'"))
    }
    var shardByTensor: [String: String] = [:]
    shardByTensor.reserveCapacity(members.count)
    for member in members {
      let place = "tensor '\(member.key)'"
      guard let shard = member.value.string else {
        throw FormatError(path, at: place, .malformed("its shard is not a string"))
      }
      guard FileSystem.isPlainName(shard) else {
        throw FormatError(path, at: place, .malformed("shard '\(shard)' is not a file name in the folder"))
      }
      shardByTensor[member.key] = shard
    }
    self.shardByTensor = shardByTensor
    self.path = path
    shardNames = Set(shardByTensor.values).sorted(by: precedes)
  }

  /// Checks that a shard holds exactly the tensors that the index puts there.
  ///
  /// - Parameters:
  ///   - shard: The shard.
  ///   - name: Its name in the index.
  /// - Throws: `FormatError` with the tensor.
  func check(_ shard: SafetensorsFile, named name: String) throws(FormatError) {
    for tensor in shard.header.tensors {
      let place = "tensor '\(tensor.name)'"
      guard let indexed = shardByTensor[tensor.name] else {
        throw FormatError(shard.path, at: place, .malformed("is not in \(Self.fileName)"))
      }
      guard indexed == name else {
        throw FormatError(shard.path, at: place, .malformed("\(Self.fileName) says it is in '\(indexed)'"))
      }
    }
  }

  /// Checks that every tensor of the index was found.
  ///
  /// - Parameter isPresent: Whether a shard holds a tensor.
  /// - Throws: `FormatError` with the first tensor that is missing.
  func checkComplete(_ isPresent: (String) -> Bool) throws(FormatError) {
    let missing = shardByTensor.keys.filter { !isPresent($0) }.min(by: precedes)
    guard let missing, let shard = shardByTensor[missing] else { return }
    throw FormatError(path, at: "tensor '\(missing)'", .missing("the tensor in '\(shard)'"))
  }

  /// The text of an index.
  ///
  /// - Parameters:
  ///   - shardByTensor: The name of the shard of each tensor.
  ///   - byteCount: The bytes of all tensors together.
  ///   - parameterCount: The number of parameters of the model, or nil to leave it out.
  /// - Returns: A JSON document.
  static func text(_ shardByTensor: [String: String], byteCount: Int, parameterCount: Int? = nil) -> String {
    let map = shardByTensor.keys.sorted(by: precedes).map {
      JSONValue.Member($0, .string(shardByTensor[$0] ?? ""))
    }
    var metadata = [JSONValue.Member("total_size", .integer(byteCount))]
    if let parameterCount { metadata.append(JSONValue.Member("total_parameters", .integer(parameterCount))) }
    let document = JSONValue.object([
      JSONValue.Member("metadata", .object(metadata)),
      JSONValue.Member("weight_map", .object(map)),
    ])
    return document.prettyText + "\n"
  }
}
