// A minimal webhook on controller-runtime that injects what ours does into a pod, in two forms:
// /diff changes the object and lets controller-runtime find the difference, as most webhooks do;
// /hand-built writes the operations itself. Neither validates, logs or looks anything up.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"log"
	"net/http"
	"os"

	"gomodules.xyz/jsonpatch/v2"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/webhook"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"
)

const setLabel = "pgset.dev/set"

func main() {
	port := flag.Int("port", 0, "port on 127.0.0.1")
	certificates := flag.String("certificates", "", "folder of tls.crt and tls.key")
	patchFile := flag.String("patch", "", "file of the operations that our webhook answers")
	podFile := flag.String("pod", "", "file of the pod with these operations applied")
	flag.Parse()

	var operations []jsonpatch.Operation
	read(*patchFile, &operations)
	var wanted corev1.Pod
	read(*podFile, &wanted)

	decoder := admission.NewDecoder(clientgoscheme.Scheme)
	server := webhook.NewServer(webhook.Options{
		Host: "127.0.0.1", Port: *port, CertDir: *certificates,
	})
	server.Register("/diff", serve(diff(decoder, &wanted)))
	server.Register("/hand-built", serve(handBuilt(decoder, operations)))
	log.Fatal(server.Start(context.Background()))
}

func read(path string, into any) {
	content, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(content, into)
	}
	if err != nil {
		log.Fatal(err)
	}
}

func serve(handler admission.HandlerFunc) http.Handler {
	return &admission.Webhook{Handler: handler}
}

func diff(decoder admission.Decoder, wanted *corev1.Pod) admission.HandlerFunc {
	return func(_ context.Context, request admission.Request) admission.Response {
		pod, refusal := decode(decoder, request)
		if pod == nil {
			return refusal
		}
		inject(pod, wanted)
		changed, err := json.Marshal(pod)
		if err != nil {
			return admission.Errored(http.StatusInternalServerError, err)
		}
		return admission.PatchResponseFromRaw(request.Object.Raw, changed)
	}
}

func handBuilt(decoder admission.Decoder, operations []jsonpatch.Operation) admission.HandlerFunc {
	return func(_ context.Context, request admission.Request) admission.Response {
		if pod, refusal := decode(decoder, request); pod == nil {
			return refusal
		}
		return admission.Patched("", append([]jsonpatch.Operation(nil), operations...)...)
	}
}

func decode(decoder admission.Decoder, request admission.Request) (*corev1.Pod, admission.Response) {
	pod := &corev1.Pod{}
	var object runtime.Object = pod
	if err := decoder.Decode(request, object); err != nil {
		return nil, admission.Errored(http.StatusBadRequest, err)
	}
	if pod.Labels[setLabel] == "" {
		return nil, admission.Allowed("")
	}
	return pod, admission.Response{}
}

// inject gives pod what wanted has: the same additions and removals as our operations.
func inject(pod, wanted *corev1.Pod) {
	for key, value := range wanted.Labels {
		pod.Labels[key] = value
	}
	for key, value := range wanted.Annotations {
		pod.Annotations[key] = value
	}
	pod.Spec.AutomountServiceAccountToken = wanted.Spec.AutomountServiceAccountToken
	pod.Spec.ShareProcessNamespace = wanted.Spec.ShareProcessNamespace
	pod.Spec.Volumes = wanted.Spec.Volumes
	pod.Spec.InitContainers = wanted.Spec.InitContainers
	for index := range pod.Spec.Containers {
		container, changed := &pod.Spec.Containers[index], &wanted.Spec.Containers[index]
		container.VolumeMounts = changed.VolumeMounts
		container.LivenessProbe = changed.LivenessProbe
		container.ReadinessProbe = changed.ReadinessProbe
		container.Lifecycle = changed.Lifecycle
	}
}
