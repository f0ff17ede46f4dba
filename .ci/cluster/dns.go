package main

import (
	"context"
	"net"
	"net/netip"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/net/dns/dnsmessage"
	discovery "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	corelisters "k8s.io/client-go/listers/core/v1"
	discoverylisters "k8s.io/client-go/listers/discovery/v1"
	"k8s.io/client-go/tools/clientcmd"
)

const zone = ".svc.cluster.local."

// newDNSCommand serves the cluster's names over UDP: A records of Services and of their pods' host names, nothing else.
func newDNSCommand() *cobra.Command {
	var kubeconfig, listen string
	c := &cobra.Command{Use: "cluster-dns", RunE: func(*cobra.Command, []string) error {
		config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
		if err != nil {
			return err
		}
		client, err := kubernetes.NewForConfig(config)
		if err != nil {
			return err
		}
		factory := informers.NewSharedInformerFactory(client, 0)
		r := resolver{factory.Core().V1().Services().Lister(), factory.Discovery().V1().EndpointSlices().Lister()}
		factory.Start(context.Background().Done())
		factory.WaitForCacheSync(context.Background().Done())
		return r.serve(listen)
	}}
	c.Flags().StringVar(&kubeconfig, "kubeconfig", "", "how to reach the API server")
	c.Flags().StringVar(&listen, "listen", "", "UDP address to answer on")
	return c
}

type resolver struct {
	services corelisters.ServiceLister
	slices   discoverylisters.EndpointSliceLister
}

// addresses of SERVICE.NAMESPACE.svc.cluster.local.: its cluster IP or, of a headless Service, its ready pods; of HOST before that, one of them.
func (r resolver) addresses(name string) (ips []string, found bool) {
	labelsOf := strings.Split(strings.TrimSuffix(name, zone), ".")
	host := ""
	if len(labelsOf) == 3 {
		host, labelsOf = labelsOf[0], labelsOf[1:]
	}
	if !strings.HasSuffix(name, zone) || len(labelsOf) != 2 {
		return nil, false
	}
	service, namespace := labelsOf[0], labelsOf[1]
	s, err := r.services.Services(namespace).Get(service)
	if err != nil {
		return nil, false
	}
	if s.Spec.ClusterIP != "None" {
		return []string{s.Spec.ClusterIP}, host == ""
	}
	slices, _ := r.slices.EndpointSlices(namespace).List(labels.SelectorFromSet(labels.Set{discovery.LabelServiceName: service}))
	for _, slice := range slices {
		for _, e := range slice.Endpoints {
			if host != "" && (e.Hostname == nil || *e.Hostname != host) {
				continue
			}
			if e.Conditions.Ready == nil || *e.Conditions.Ready {
				ips = append(ips, e.Addresses...)
			}
		}
	}
	return ips, host == "" || ips != nil
}

func (r resolver) serve(address string) error {
	conn, err := net.ListenPacket("udp", address)
	if err != nil {
		return err
	}
	buffer := make([]byte, 4096)
	for {
		n, from, err := conn.ReadFrom(buffer)
		if err != nil {
			return err
		}
		if reply, err := r.reply(buffer[:n]); err == nil { // what is no query gets no reply
			_, _ = conn.WriteTo(reply, from)
		}
	}
}

func (r resolver) reply(query []byte) ([]byte, error) {
	var p dnsmessage.Parser
	header, err := p.Start(query)
	if err != nil {
		return nil, err
	}
	q, err := p.Question()
	if err != nil {
		return nil, err
	}
	header = dnsmessage.Header{ID: header.ID, Response: true, Authoritative: true, RecursionDesired: header.RecursionDesired}
	m := dnsmessage.Message{Header: header, Questions: []dnsmessage.Question{q}}
	ips, found := r.addresses(strings.ToLower(q.Name.String()))
	if !found {
		m.RCode = dnsmessage.RCodeNameError
	}
	for _, ip := range ips {
		a, err := netip.ParseAddr(ip)
		if err != nil || !a.Is4() || q.Type != dnsmessage.TypeA { // another type's answer is empty, not "no such name"
			continue
		}
		m.Answers = append(m.Answers, dnsmessage.Resource{
			// A pod that ends is gone from the answers at once: let no client keep it for long.
			Header: dnsmessage.ResourceHeader{Name: q.Name, Class: dnsmessage.ClassINET, TTL: 1},
			Body:   &dnsmessage.AResource{A: a.As4()},
		})
	}
	return m.Pack()
}
