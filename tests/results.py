"""What queries ask of results, for both readers of the language."""

#: Models with results on several data sets, and none.
RESULTS = """
Models:
- Name: net
  Results:
  - Task: Image Classification
    Dataset: ILSVRC 2012
    Split: val
    Metrics: {Top 1 Accuracy: 77.86, Acc@5: 93.9}
  - {Task: Image Classification, Dataset: ImageNetV2, Metrics: {Top 1 Accuracy: 65.5}}
  - {Task: Image Classification, Dataset: Oxford-IIIT Pets, Split: test, Metrics: {Top 1 Accuracy: 91}}
- Name: cat
  Results:
  - {Task: Image Classification, Dataset: pets, Split: train, Metrics: {Top 1 Accuracy: 99}}
  - {Task: Image Classification, Dataset: timm/oxford-iiit-pet, Split: test, Metrics: {Top-1 Accuracy: 89}}
- Name: box
  Results:
  - Task: Object Detection
    Dataset: COCO
    Metrics: {mAP: 40.5, AP@0.5: 61, 'Accuracy (testA)': 0.9, F1-Score: 0.87}
- Name: fast
  Metadata: {Image Size: 224}
  Results:
  - Task: Image Classification
    Dataset: CIFAR-100
    Split: validation
    Dataset Args: {Image Size: 288, Crop Pct: 1.0}
    Metrics: {Kappa: 0.5}
  - {Task: Throughput, Split: 'RTX 4090 224 px, amp', Metrics: {Images per Second: 4000.5}}
  - {Task: Throughput, Split: 'i9-10940X 224 px, float32', Metrics: {Images per Second: 99.5}}
- Name: bare
"""
#: Which of these models each query picks.
RESULT_QUERIES = {
    "top1>70": "net cat",
    "top1>95": "cat",
    "top1@imagenet-v2>=65": "net",
    "top1@ImageNet-1k>77": "net",
    "top1@imagenet/validation>77 top5>90": "net",
    "top1@imagenet/test>77": "",
    "dataset:pets top1>90": "net cat",
    "dataset:pets top1<95": "net",
    "dataset:pets split:test top1<90": "cat",
    "split:test (top1<90 or top5>90)": "cat",
    'top1@"Oxford-IIIT Pets/test">90': "net",
    "top1@pets>90 and not top1@pets/test>90": "cat",
    "dataset:pets top1@imagenet>70": "net",
    "dataset:imagenet or top1>95": "net cat",
    "not dataset:pets": "box fast",
    "dataset:*pet* split:val": "net",
    "task:*detection* map>40": "box",
    "mAP@coco>=40.5": "box",
    "ap@0.5>60": "box",
    "AP@0.5@coco<60 or accuracy_testa>0.8": "box",
    "f1-score>.85": "box",
    "acc@1>90": "cat",
    "top1>0.79%": "net cat",
    "top1@cifar10>50": "",
    "kappa@cifar-100>0.4": "fast",
    'kappa@"cifar-100/validation, 288 px">0.4': "fast",
    'kappa@"cifar-100/validation, 288 px, crop 1.0">0.4': "fast",
    "kappa@cifar-100/validation>0.4": "",
    'images_per_second@"RTX 4090 224 px">4000': "fast",
    'images_per_second@"i9-10940X 224 px, float32">90': "fast",
    "images_per_second@i9-10940X-224-px>100": "",
}
