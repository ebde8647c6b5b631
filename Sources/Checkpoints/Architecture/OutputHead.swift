/// The matrix that gives the logits of a model.
package enum OutputHead: Sendable, Equatable {
  /// The embedding: the checkpoint has no other head, or an equal one.
  case embedding
  /// A head of its own.
  case own
}

extension ModelLayout {
  /// Finds the output head; a head in the checkpoint counts, whatever the configuration says about tied
  /// embeddings.
  ///
  /// If the configuration ties a head that is there, the head is compared with the embedding, byte for byte
  /// up to the first difference.
  ///
  /// - Throws: `FormatError` when a tensor cannot be read.
  package func outputHead(in checkpoint: Checkpoint) throws -> OutputHead {
    guard configuration.tiesEmbeddings else { return .own }
    guard checkpoint.tensor(named: head.name) != nil else { return .embedding }
    return try checkpoint.hasEqualTensors(head.module, embedding.module) ? .embedding : .own
  }

  /// Notices about tensors that contradict the configuration or belong to other parts of a larger model, one
  /// sentence each.
  ///
  /// - Throws: `FormatError` when a tensor cannot be read.
  package func notices(in checkpoint: Checkpoint) throws -> [String] {
    var notices = configuration.notices
    if configuration.tiesEmbeddings, try outputHead(in: checkpoint) == .own {
      notices.append(
        "\(ModelConfiguration.fileName): 'tie_word_embeddings' is true, but '\(head.name)' is there and differs "
          + "from the embedding; it is used as the output head")
    }
    let biases = bodyTensors.filter {
      $0.canHaveBias && !$0.slot.hasBias && checkpoint.tensor(named: $0.biasName) != nil
    }
    if let first = biases.first {
      notices.append(
        "\(ModelConfiguration.fileName) describes no biases, but '\(first.biasName)' is there"
          + (biases.count > 1 ? ", and \(biases.count - 1) more; they are used" : "; it is used"))
    }
    return notices + (otherPartsNotice(in: checkpoint).map { [$0] } ?? [])
  }
}

extension Checkpoint {
  /// Notices about the checkpoint and the model in it, one sentence each.
  ///
  /// A model that is not understood adds none; computing with it throws the error.
  public var notices: [String] {
    guard let layout = try? ModelLayout(of: self), let own = try? layout.notices(in: self) else {
      return contents.notices
    }
    return contents.notices + own
  }

  /// Whether two modules have the same tensors with the same bytes.
  fileprivate func hasEqualTensors(_ first: String, _ second: String) throws -> Bool {
    guard contents.quantization[first] == contents.quantization[second] else { return false }
    let pairs = ModuleTensor.allCases.map {
      (tensor(named: $0.name(of: first)), tensor(named: $0.name(of: second)))
    }
    guard pairs.allSatisfy({ $0?.dtype == $1?.dtype && $0?.shape == $1?.shape }) else { return false }
    for case (let first?, let second?) in pairs {
      let (a, b) = (try bytes(of: first.name), try bytes(of: second.name))
      guard a.withSpan({ a in b.withSpan { b in a.isEqual(to: b) } }) else { return false }
    }
    return true
  }
}

extension JSONValue {
  /// The contents of a `config.json` which says that the output head is a tensor of its own.
  ///
  /// Use it when a model with tied embeddings gets a head; other programs would not look for the head
  /// otherwise.
  package var withOwnHead: JSONValue {
    let key = "tie_word_embeddings"
    var json = self
    json.set(key, to: .bool(false))
    if var text = json["text_config"], text[key] != nil {
      text.set(key, to: .bool(false))
      json.set("text_config", to: text)
    }
    return json
  }
}
