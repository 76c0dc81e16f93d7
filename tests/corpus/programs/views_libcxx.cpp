// Layouts of libc++ (LLVM 20's, from its public headers) made by hand: that library is not at hand
// where the tests run, so this checks the views' expressions, not the library.
#include <cstddef>
#include <cstdlib>
namespace std { namespace __1 {
template<class T> struct allocator {}; template<class T> struct char_traits {};
template<class C, class Tr, class A> struct basic_string {
  struct L { size_t __is_long_:1; size_t __cap_:63; size_t __size_; C* __data_; };
  struct S { unsigned char __is_long_:1; unsigned char __size_:7; C __data_[23]; };
  union R { S __s; L __l; }; R __rep_; };
template<class T, class A> struct vector { T* __begin_; T* __end_; T* __cap_; };
template<class T, class V> struct __list_node_base { __list_node_base* __prev_; __list_node_base* __next_; };
template<class T, class V> struct __list_node : __list_node_base<T,V> { union { T __value_; }; };
template<class T, class A> struct list { __list_node_base<T,void*> __end_; size_t __size_; };
template<class K, class V> struct pair { K first; V second; };
template<class K, class V> struct __value_type { pair<const K,V> __cc_; };
template<class P> struct __tree_end_node { P __left_; };
template<class V> struct __tree_node_base : __tree_end_node<__tree_node_base<V>*> { __tree_node_base* __right_; void* __parent_; bool b; };
template<class T, class V> struct __tree_node : __tree_node_base<V> { T __value_; };
template<class T, class C, class A> struct __tree { void* __begin_node_; __tree_end_node<__tree_node_base<void*>*> __end_node_; size_t __size_; };
template<class K, class V, class C, class A> struct map { __tree<__value_type<K,V>, C, A> __tree_; };
template<class T, class D> struct unique_ptr { T* __ptr_; };
template<size_t I, class T, bool E> struct __tuple_leaf { T __value_; };
template<class... L> struct __tuple_impl : L... {};
template<class... T> struct tuple { __tuple_impl<__tuple_leaf<0,int,false>,__tuple_leaf<1,double,false>> __base_; };
}}
using namespace std::__1;
int main() {
  basic_string<char,char_traits<char>,allocator<char>> s{}; s.__rep_.__s.__size_ = 3; s.__rep_.__s.__data_[0]='a'; s.__rep_.__s.__data_[1]='b'; s.__rep_.__s.__data_[2]='c';
  basic_string<char,char_traits<char>,allocator<char>> l{}; l.__rep_.__l.__is_long_ = 1; l.__rep_.__l.__size_=26; l.__rep_.__l.__data_=(char*)"abcdefghijklmnopqrstuvwxyz";
  int a[4]={1,2,3,4}; vector<int,allocator<int>> v{a,a+3,a+4};
  list<int,allocator<int>> li{}; __list_node<int,void*> n1{}, n2{}; n1.__value_=5; n2.__value_=6; li.__end_.__next_=&n1; n1.__next_=&n2; n2.__next_=&li.__end_; li.__size_=2;
  map<int,double,int,int> m{}; __tree_node<__value_type<int,double>,void*> t1{}, *t2 = (decltype(t2))calloc(1,sizeof *t2); m.__tree_.__end_node_.__left_=&t1; t1.__right_=t2; m.__tree_.__size_=2; *(int*)&t1.__value_=1; t1.__value_.__cc_.second=0.5; *(int*)&t2->__value_=2;
  unique_ptr<int,int> u{a}; tuple<int,double> t{}; ((__tuple_leaf<0,int,false>&)t.__base_).__value_=4;
  abort();
}
