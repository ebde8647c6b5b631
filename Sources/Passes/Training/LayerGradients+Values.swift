import Kernels
import Models

extension [LayerGradients] {
  /// Adds the gradients of windows in order.
  mutating func add(_ windows: some Sequence<[LayerGradients]>) {
    for window in windows {
      for index in indices { self[index].add(window[index]) }
    }
  }

  /// All gradients in one list: by layer, group and linear, and there A, B, scales, biases and weights.
  var values: [Float] {
    get {
      var values: [Float] = []
      for linear in joinedLinears {
        for part in [linear.loraA, linear.loraB, linear.scales, linear.biases, linear.weights] {
          values += part
        }
      }
      return values
    }
    set {
      var rest = newValue[...]
      func take(_ values: inout [Float]) {
        values = [Float](rest.prefix(values.count))
        rest = rest.dropFirst(values.count)
      }
      for layer in indices {
        for group in self[layer].groups.indices {
          for linear in self[layer].groups[group].indices {
            take(&self[layer].groups[group][linear].loraA)
            take(&self[layer].groups[group][linear].loraB)
            take(&self[layer].groups[group][linear].scales)
            take(&self[layer].groups[group][linear].biases)
            take(&self[layer].groups[group][linear].weights)
          }
        }
      }
      precondition(rest.isEmpty, "\(rest.count) more values than gradients")
    }
  }
}

extension [LayerGradients] {
  fileprivate var joinedLinears: [LinearGradients] { flatMap { $0.groups.joined() } }
}

extension RilqLoss: NumberCoded {
  package static var numberCount: Int { 3 }
  package var numbers: [Double] { [modelLoss, groundTruthLoss, divergence] }
  package init(numbers: ArraySlice<Double>) {
    let first = numbers.startIndex
    self.init(
      modelLoss: numbers[first], groundTruthLoss: numbers[first + 1], divergence: numbers[first + 2])
  }
}
