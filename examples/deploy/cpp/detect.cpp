// Detects objects with an exported bundle (`--to executorch`), with neither Python nor PyTorch:
//
//   detect BUNDLE PHOTO [SCORE]
//
// It prints a JSON object with label, score and box (x1, y1, x2, y2 in pixels of the photo) for each detection.
#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <stdexcept>
#include <string>
#include <vector>

#include <executorch/extension/module/module.h>
#include <executorch/extension/tensor/tensor.h>
#include <nlohmann/json.hpp>
#define STB_IMAGE_IMPLEMENTATION
#include <stb_image.h>

using nlohmann::json;
using Pair = std::array<int, 2>;  // (x, y)
using Box = std::array<float, 4>; // x1, y1, x2, y2

struct Image {  // RGB, row by row
  int width, height;
  std::vector<uint8_t> pixels;
};

struct Layout {  // how a photo lies on the canvas
  Pair resized, offset;
  std::array<double, 2> shift;  // what boxes are moved by
};

struct Detection {
  int label;
  float score;
  Box box;
};

Image read_image(const std::string& path) {
  Image image{0, 0, {}};
  uint8_t* found = stbi_load(path.c_str(), &image.width, &image.height, nullptr, 3);
  if (found == nullptr) throw std::runtime_error(path + ": no image that can be read");
  image.pixels.assign(found, found + 3 * image.width * image.height);
  stbi_image_free(found);
  return image;
}

Layout layout(const json& fit, const Image& photo) {
  const Pair canvas{fit.at("width"), fit.at("height")}, size{photo.width, photo.height};
  const std::string kind = fit.at("kind");
  if (kind == "stretch") return {canvas, {0, 0}, {0, 0}};
  Layout made{};
  if (kind == "letterbox") {
    const int64_t wide = int64_t{canvas[0]} * size[1], high = int64_t{canvas[1]} * size[0];
    const int axis = wide < high ? 0 : 1;  // whose length fits exactly
    for (int each : {0, 1}) {
      made.resized[each] = std::max<int64_t>(1, int64_t{size[each]} * canvas[axis] / size[axis]);
      const int margin = canvas[each] - made.resized[each];
      made.offset[each] = margin / 2;
      made.shift[each] = fit.value("undo", "") == "darknet" ? margin / 2.0 : made.offset[each];
    }
    return made;
  }
  const double scale = std::max(double(canvas[0]) / size[0], double(canvas[1]) / size[1]);  // short-side-crop
  for (int each : {0, 1}) {
    made.resized[each] = std::max(canvas[each], int(size[each] * scale + 0.5));
    made.offset[each] = -((made.resized[each] - canvas[each]) / 2);
    made.shift[each] = made.offset[each];
  }
  return made;
}

struct Taps {  // of an output: the first input that it reads, and the weights of this and the following ones
  int first;
  std::vector<int64_t> weights;
};

constexpr int64_t UNIT = 1 << 22;  // of the weights: whole numbers, as Pillow's

// The place in the photo of which output i of a side is read.
double place_of(int i, int source, int target, const std::string& sampling) {
  if (sampling == "tf1") return double(i) * source / target;
  if (sampling == "corners") return double(i) * (source - 1) / std::max(target - 1, 1);
  return (i + 0.5) * source / target - 0.5;  // opencv, torch
}

// Two around the place of each output.
std::vector<Taps> two_taps(int source, int target, const std::string& sampling) {
  std::vector<Taps> made;
  for (int output = 0; output < target; output++) {
    const double place = std::clamp<double>(place_of(output, source, target, sampling), 0, source - 1);
    const int first = std::max(0, std::min(int(place), source - 2));
    const int64_t second = std::llround((place - first) * UNIT);
    if (source == 1) made.push_back({0, {UNIT}});
    else made.push_back({first, {UNIT - second, second}});
  }
  return made;
}

// Those of a filter that widens where it shrinks, as Pillow's BILINEAR, or two.
std::vector<Taps> taps(int source, int target, const std::string& sampling) {
  if (sampling != "antialiased") return two_taps(source, target, sampling);
  const double scale = double(source) / target, support = std::max(scale, 1.0);
  std::vector<Taps> made;
  for (int output = 0; output < target; output++) {
    if (source == target) {
      made.push_back({output, {UNIT}});
      continue;
    }
    const double center = (output + 0.5) * scale;
    const int first = std::max(0, int(center - support + 0.5)), last = std::min(source, int(center + support + 0.5));
    std::vector<double> raw;
    double total = 0;
    for (int place = first; place < last; place++) {
      raw.push_back(std::max(0.0, 1 - std::abs(place + 0.5 - center) / support));
      total += raw.back();
    }
    Taps each{first, {}};
    for (double weight : raw) each.weights.push_back(std::floor(weight / total * UNIT + 0.5));
    made.push_back(each);
  }
  return made;
}

uint8_t rounded(int64_t sum) { return std::clamp<int64_t>(sum >> 22, 0, 255); }

// Bilinear. Rows are rounded first, as Pillow does.
Image resize(const Image& image, Pair size, const std::string& sampling) {
  const auto [across, down] = size;
  Image rows{across, image.height, std::vector<uint8_t>(3 * across * image.height)};
  const auto columns = taps(image.width, across, sampling), lines = taps(image.height, down, sampling);
  for (int y = 0; y < image.height; y++)
    for (int x = 0; x < across; x++)
      for (int color = 0; color < 3; color++) {
        int64_t sum = UNIT / 2;
        for (size_t k = 0; k < columns[x].weights.size(); k++)
          sum += columns[x].weights[k] * image.pixels[3 * (y * image.width + columns[x].first + k) + color];
        rows.pixels[3 * (y * across + x) + color] = rounded(sum);
      }
  Image made{across, down, std::vector<uint8_t>(3 * across * down)};
  for (int y = 0; y < down; y++)
    for (int x = 0; x < 3 * across; x++) {
      int64_t sum = UNIT / 2;
      for (size_t k = 0; k < lines[y].weights.size(); k++)
        sum += lines[y].weights[k] * rows.pixels[3 * across * (lines[y].first + k) + x];
      made.pixels[3 * across * y + x] = rounded(sum);
    }
  return made;
}

// RGB planes of a resized photo on a canvas of one gray level; what is outside of the canvas is cut.
std::vector<uint8_t> on_canvas(const Image& photo, Pair offset, int width, int height, uint8_t fill) {
  std::vector<uint8_t> planes(3 * width * height, fill);
  const auto [left, top] = offset;
  for (int y = std::max(0, top); y < std::min(height, top + photo.height); y++)
    for (int x = std::max(0, left); x < std::min(width, left + photo.width); x++)
      for (int color = 0; color < 3; color++)
        planes[(color * height + y) * width + x] = photo.pixels[3 * ((y - top) * photo.width + x - left) + color];
  return planes;
}

double overlap(const Box& one, const Box& other) {
  const auto side = [](float start, float end) { return std::max(0.0f, end - start); };
  const double both = side(std::max(one[0], other[0]), std::min(one[2], other[2])) *
                      side(std::max(one[1], other[1]), std::min(one[3], other[3]));
  const auto area = [&](const Box& box) { return double(side(box[0], box[2])) * side(box[1], box[3]); };
  return both > 0 ? both / (area(one) + area(other) - both) : 0;
}

// Of every class the boxes that no better one of it overlaps by more than `limit`; of all the best `keep`.
std::vector<Detection> suppressed(std::vector<Detection> found, double limit, size_t keep) {
  const auto better = [](const Detection& one, const Detection& other) { return one.score > other.score; };
  std::stable_sort(found.begin(), found.end(), better);
  std::vector<Detection> kept;
  for (const Detection& each : found) {
    const auto covers = [&](const Detection& one) {
      return one.label == each.label && overlap(one.box, each.box) > limit;
    };
    if (kept.size() < keep && std::none_of(kept.begin(), kept.end(), covers)) kept.push_back(each);
  }
  return kept;
}

// Runs the program on the pixels of one canvas, and selects from its boxes [1, N, 4] and scores [1, N, K].
std::vector<Detection> run(const std::string& path, std::vector<uint8_t> planes, const json& bundle, double least) {
  using namespace executorch;
  extension::Module program(path);
  const std::vector<aten::SizesType> shape{1, 3, bundle.at("height"), bundle.at("width")};
  const auto pixels = extension::from_blob(planes.data(), shape, aten::ScalarType::Byte);
  const auto outputs = program.forward(pixels);
  if (!outputs.ok()) throw std::runtime_error(path + ": error " + std::to_string(int(outputs.error())));
  const auto boxes = outputs->at(0).toTensor(), scores = outputs->at(1).toTensor();
  const float* corners = boxes.const_data_ptr<float>();
  const float* values = scores.const_data_ptr<float>();
  const int classes = scores.size(2);
  std::vector<Detection> found;
  for (int place = 0; place < scores.numel(); place++)
    if (values[place] > least) {
      const float* corner = corners + 4 * (place / classes);
      found.push_back({place % classes, values[place], {corner[0], corner[1], corner[2], corner[3]}});
    }
  return suppressed(std::move(found), bundle.at("nms"), bundle.at("keep"));
}

void detect(const std::string& folder, const std::string& photo_path, double least) {
  const json bundle = json::parse(std::ifstream(folder + "/bundle.json"));
  const json& fit = bundle.at("fit");
  if (bundle.at("target") != "executorch" || bundle.at("batch") != 1)
    throw std::runtime_error("this example runs bundles of ExecuTorch, one photo at a time");
  const Image photo = read_image(photo_path);
  const Layout place = layout(fit, photo);
  const Image resized = resize(photo, place.resized, fit.value("sampling", "antialiased"));
  const auto planes = on_canvas(
      resized, place.offset, bundle.at("width"), bundle.at("height"), fit.value("fill", 0));
  const double lowest = bundle.at("score").is_null() ? least : std::max<double>(least, bundle.at("score"));
  for (auto [label, score, box] :
       run(folder + "/" + std::string(bundle.at("artifact")), planes, bundle, lowest)) {
    for (int side = 0; side < 4; side++) {
      const int axis = side % 2, size = axis == 0 ? photo.width : photo.height;
      box[side] = std::clamp<double>((box[side] - place.shift[axis]) * size / place.resized[axis], 0, size);
    }
    std::cout << json{{"label", bundle.at("labels").at(label)}, {"score", score}, {"box", box}} << "\n";
  }
}

int main(int count, char** words) try {
  if (count < 3) throw std::runtime_error("usage: detect BUNDLE PHOTO [SCORE]");
  detect(words[1], words[2], count > 3 ? std::stod(words[3]) : 0.3);
  return 0;
} catch (const std::exception& error) {
  std::cerr << error.what() << "\n";
  return 1;
}
